//! Who may do what, and what they are told: one row, one rule of AWS's.
//!
//! Each row has a key of the customer's with exactly the row's statements, the row's
//! grants and state, and one call. The rules' sources: KMS developer guide, "Key policies",
//! "Grants", "Condition keys for AWS KMS", "Key states", "Allowing users in other accounts
//! to use a KMS key", "Troubleshooting key access"; IAM user guide, "Policy evaluation logic".

use crate::wire::post;
use crate::world::{BROKER, CUSTOMER, REGION, STRANGER, World, role, user};
use serde_json::{Value, json};

const DENIED: &str = "AccessDeniedException";
const MALFORMED: &str = "MalformedPolicyDocumentException";

struct Case {
    rule: &'static str,
    policy: Vec<Value>,
    grants: Vec<Value>,
    state: &'static str,
    /// The context under which the ciphertext was made, and the one of the call.
    sealed: Value,
    context: Value,
    who: &'static str,
    operation: &'static str,
    more: Value,
    answer: &'static str,
}

/// `who` does `operation` and is told `answer`.
fn case(
    rule: &'static str,
    who: &'static str,
    operation: &'static str,
    answer: &'static str,
) -> Case {
    Case {
        rule,
        policy: Vec::new(),
        grants: Vec::new(),
        state: "Enabled",
        sealed: json!({"byok:workspace": "acme"}),
        context: json!({"byok:workspace": "acme"}),
        who,
        operation,
        more: json!({}),
        answer,
    }
}

impl Case {
    fn policy(mut self, statement: Value) -> Self {
        self.policy.push(statement);
        self
    }

    fn grant(mut self, grant: Value) -> Self {
        self.grants.push(grant);
        self
    }

    fn state(mut self, state: &'static str) -> Self {
        self.state = state;
        self
    }

    /// Ciphertext and call have this context.
    fn under(mut self, context: Value) -> Self {
        self.sealed = context.clone();
        self.context = context;
        self
    }

    /// Only the call has this context.
    fn asks_under(mut self, context: Value) -> Self {
        self.context = context;
        self
    }

    fn with(mut self, more: Value) -> Self {
        self.more = more;
        self
    }
}

fn allow(who: &str, action: &str) -> Value {
    json!({"Effect": "Allow", "Principal": {"AWS": who}, "Action": action, "Resource": "*"})
}

fn allow_if(who: &str, action: &str, condition: Value) -> Value {
    let mut statement = allow(who, action);
    statement["Condition"] = condition;
    statement
}

fn deny(who: &str, action: &str) -> Value {
    json!({"Effect": "Deny", "Principal": {"AWS": who}, "Action": action, "Resource": "*"})
}

fn deny_if(who: &str, action: &str, condition: Value) -> Value {
    let mut statement = deny(who, action);
    statement["Condition"] = condition;
    statement
}

fn grant(grantee: &str, operations: &[&str]) -> Value {
    json!({"GranteePrincipal": grantee, "Operations": operations})
}

fn constrained(grantee: &str, operations: &[&str], kind: &str, context: Value) -> Value {
    json!({"GranteePrincipal": grantee, "Operations": operations, "Constraints": {kind: context}})
}

fn root(account: &str) -> String {
    format!("arn:aws:iam::{account}:root")
}

fn broker() -> String {
    role(BROKER, "broker")
}

fn bare() -> String {
    role(CUSTOMER, "bare")
}

#[rustfmt::skip]
fn key_policies() -> Vec<Case> {
    vec![
        case("nothing allows: no", "bare", "Decrypt", DENIED),
        case("an identity policy alone is not enough", "delegate", "Decrypt", DENIED),
        case("the key policy naming the caller is enough at home", "bare", "Decrypt", "ok")
            .policy(allow(&bare(), "kms:Decrypt")),
        case("naming another role is naming nobody", "bare", "Decrypt", DENIED)
            .policy(allow(&role(CUSTOMER, "bar"), "kms:Decrypt")),
        case("names in ARNs are case-sensitive", "bare", "Decrypt", DENIED)
            .policy(allow(&role(CUSTOMER, "Bare"), "kms:Decrypt")),
        case("a role's path is part of its ARN", "bare", "Decrypt", DENIED)
            .policy(allow(&role(CUSTOMER, "team/bare"), "kms:Decrypt")),
        case("a user is named with its path", "reader", "Encrypt", "ok")
            .policy(allow(&user(CUSTOMER, "team/reader"), "kms:Encrypt")),
        case("allowing one action allows no other", "bare", "Encrypt", DENIED)
            .policy(allow(&bare(), "kms:Decrypt")),
        case("actions have wildcards", "bare", "GenerateDataKeyWithoutPlaintext", "ok")
            .policy(allow(&bare(), "kms:GenerateDataKey*")),
        case("actions are not case-sensitive", "bare", "Decrypt", "ok")
            .policy(allow(&bare(), "KMS:decrypt")),
        case("GenerateDataKey is not GenerateDataKeyWithoutPlaintext", "bare", "GenerateDataKeyWithoutPlaintext", DENIED)
            .policy(allow(&bare(), "kms:GenerateDataKey")),
        case("the other way round, too", "bare", "GenerateDataKey", DENIED)
            .policy(allow(&bare(), "kms:GenerateDataKeyWithoutPlaintext")),
        case("several actions in one statement", "bare", "DescribeKey", "ok")
            .policy(json!({"Effect": "Allow", "Principal": {"AWS": bare()}, "Action": ["kms:Decrypt", "kms:DescribeKey"], "Resource": "*"})),
        case("several principals in one statement", "bare", "Decrypt", "ok")
            .policy(json!({"Effect": "Allow", "Principal": {"AWS": [broker(), bare()]}, "Action": "kms:Decrypt", "Resource": "*"})),
        case("NotAction allows what it does not name", "bare", "Decrypt", "ok")
            .policy(json!({"Effect": "Allow", "Principal": {"AWS": bare()}, "NotAction": "kms:Encrypt", "Resource": "*"})),
        case("NotAction does not allow what it names", "bare", "Encrypt", DENIED)
            .policy(json!({"Effect": "Allow", "Principal": {"AWS": bare()}, "NotAction": "kms:Encrypt", "Resource": "*"})),
        case("Resource of a key policy is the key: another ARN matches nothing", "bare", "Decrypt", DENIED)
            .policy(json!({"Effect": "Allow", "Principal": {"AWS": bare()}, "Action": "kms:*", "Resource": "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000000"})),
        case("everyone is everyone at home", "bare", "Decrypt", "ok")
            .policy(json!({"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"})),
        case("{AWS: *} is everyone, too", "bare", "Decrypt", "ok").policy(allow("*", "kms:Decrypt")),
        case("everyone within one account, by kms:CallerAccount", "bare", "Decrypt", "ok")
            .policy(allow_if("*", "kms:Decrypt", json!({"StringEquals": {"kms:CallerAccount": CUSTOMER}}))),
        case("kms:CallerAccount keeps others out", "broker", "Decrypt", DENIED)
            .policy(allow_if("*", "kms:Decrypt", json!({"StringEquals": {"kms:CallerAccount": CUSTOMER}}))),
        case("a service is no principal of ours", "bare", "Decrypt", DENIED)
            .policy(json!({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "kms:*", "Resource": "*"})),
    ]
}

#[rustfmt::skip]
fn delegation() -> Vec<Case> {
    vec![
        case("the account's root in the key policy delegates to identity policies", "delegate", "Decrypt", "ok")
            .policy(allow(&root(CUSTOMER), "kms:*")),
        case("the bare account id is the same", "delegate", "Decrypt", "ok").policy(allow(CUSTOMER, "kms:*")),
        case("delegation alone allows nobody", "bare", "Decrypt", DENIED).policy(allow(&root(CUSTOMER), "kms:*")),
        case("delegation is limited to what the identity policy allows", "reader", "Encrypt", DENIED)
            .policy(allow(&root(CUSTOMER), "kms:*")),
        case("and reaches as far as it", "reader", "Decrypt", "ok").policy(allow(&root(CUSTOMER), "kms:*")),
        case("delegation is limited to the statement's actions", "delegate", "Encrypt", DENIED)
            .policy(allow(&root(CUSTOMER), "kms:Decrypt")),
        case("delegation has conditions, too", "delegate", "Decrypt", DENIED)
            .policy(allow_if(&root(CUSTOMER), "kms:*", json!({"StringEquals": {"kms:EncryptionContext:byok:workspace": "other"}}))),
        case("delegating to another account does not delegate to this one", "delegate", "Decrypt", DENIED)
            .policy(allow(&root(BROKER), "kms:*")),
        case("the account's root itself is named by its ARN", "root", "Decrypt", "ok").policy(allow(&root(CUSTOMER), "kms:*")),
        case("and by the bare id", "root", "Decrypt", "ok").policy(allow(CUSTOMER, "kms:*")),
        case("a key policy that leaves the root out locks it out", "root", "Decrypt", DENIED)
            .policy(allow(&bare(), "kms:*")),
    ]
}

#[rustfmt::skip]
fn denies() -> Vec<Case> {
    vec![
        case("a Deny beats an Allow for the same caller", "bare", "Decrypt", DENIED)
            .policy(allow(&bare(), "kms:*")).policy(deny(&bare(), "kms:Decrypt")),
        case("whatever the order", "bare", "Decrypt", DENIED)
            .policy(deny(&bare(), "kms:Decrypt")).policy(allow(&bare(), "kms:*")),
        case("a Deny of one action leaves the others", "bare", "Encrypt", "ok")
            .policy(allow(&bare(), "kms:*")).policy(deny(&bare(), "kms:Decrypt")),
        case("a key policy's Deny beats a grant", "broker", "Decrypt", DENIED)
            .grant(grant(&broker(), &["Decrypt"])).policy(deny(&broker(), "kms:Decrypt")),
        case("an identity policy's Deny beats the key policy", "barred", "Decrypt", DENIED)
            .policy(allow(&role(CUSTOMER, "barred"), "kms:*")),
        case("an identity policy's Deny beats a grant", "barred", "Decrypt", DENIED)
            .grant(grant(&role(CUSTOMER, "barred"), &["Decrypt"])),
        case("a Deny for the account denies everyone in it", "broker", "Decrypt", DENIED)
            .policy(allow(&broker(), "kms:*")).policy(deny(&root(BROKER), "kms:Decrypt")),
        case("a Deny for everyone denies the root", "root", "Decrypt", DENIED)
            .policy(allow(&root(CUSTOMER), "kms:*")).policy(deny("*", "kms:Decrypt")),
        case("a Deny whose condition does not hold denies nothing", "bare", "Decrypt", "ok")
            .policy(allow(&bare(), "kms:*"))
            .policy(deny_if("*", "kms:*", json!({"StringNotEquals": {"kms:EncryptionContext:byok:workspace": "acme"}}))),
        case("a Deny by StringNotEquals holds where the key is absent", "bare", "Decrypt", DENIED).under(json!({}))
            .policy(allow(&bare(), "kms:*"))
            .policy(deny_if("*", "kms:Decrypt", json!({"StringNotEquals": {"kms:EncryptionContext:byok:workspace": "acme"}}))),
        case("a Deny by StringNotEqualsIfExists holds there, too", "bare", "Decrypt", DENIED).under(json!({}))
            .policy(allow(&bare(), "kms:*"))
            .policy(deny_if("*", "kms:Decrypt", json!({"StringNotEqualsIfExists": {"kms:EncryptionContext:byok:workspace": "acme"}}))),
        case("NotPrincipal spares whom it names with the account", "bare", "Decrypt", "ok")
            .policy(allow("*", "kms:*"))
            .policy(json!({"Effect": "Deny", "NotPrincipal": {"AWS": [bare(), root(CUSTOMER)]}, "Action": "kms:*", "Resource": "*"})),
        case("NotPrincipal denies all others", "delegate", "Decrypt", DENIED)
            .policy(allow("*", "kms:*"))
            .policy(json!({"Effect": "Deny", "NotPrincipal": {"AWS": [bare(), root(CUSTOMER)]}, "Action": "kms:*", "Resource": "*"})),
        case("NotPrincipal without the account denies the named role, too", "bare", "Decrypt", DENIED)
            .policy(allow("*", "kms:*"))
            .policy(json!({"Effect": "Deny", "NotPrincipal": {"AWS": bare()}, "Action": "kms:*", "Resource": "*"})),
        case("a Deny for all but one role, by aws:PrincipalArn", "delegate", "Decrypt", DENIED)
            .policy(allow("*", "kms:*"))
            .policy(deny_if("*", "kms:Decrypt", json!({"ArnNotEquals": {"aws:PrincipalArn": bare()}}))),
        case("which that role does not meet", "bare", "Decrypt", "ok")
            .policy(allow("*", "kms:*"))
            .policy(deny_if("*", "kms:Decrypt", json!({"ArnNotEquals": {"aws:PrincipalArn": bare()}}))),
    ]
}

#[rustfmt::skip]
fn conditions() -> Vec<Case> {
    let context = |key: &str, value: &str| json!({"StringEquals": {format!("kms:EncryptionContext:{key}"): value}});
    let only = |keys: Value| json!({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": keys}});
    let on = |condition: Value| allow_if(&bare(), "kms:*", condition);
    vec![
        case("kms:EncryptionContext:key holds with the right value", "bare", "Decrypt", "ok")
            .policy(on(context("byok:workspace", "acme"))),
        case("not with another", "bare", "Decrypt", DENIED).under(json!({"byok:workspace": "other"}))
            .policy(on(context("byok:workspace", "acme"))),
        case("not without the pair", "bare", "Decrypt", DENIED).under(json!({}))
            .policy(on(context("byok:workspace", "acme"))),
        case("further pairs do not matter to it", "bare", "Decrypt", "ok").under(json!({"byok:workspace": "acme", "x": "y"}))
            .policy(on(context("byok:workspace", "acme"))),
        case("a condition key's name is not case-sensitive", "bare", "Decrypt", "ok")
            .policy(on(context("BYOK:Workspace", "acme"))),
        case("StringEquals compares values with case", "bare", "Decrypt", DENIED)
            .policy(on(context("byok:workspace", "Acme"))),
        case("StringEqualsIgnoreCase without", "bare", "Decrypt", "ok")
            .policy(on(json!({"StringEqualsIgnoreCase": {"kms:EncryptionContext:byok:workspace": "ACME"}}))),
        case("several values are alternatives", "bare", "Decrypt", "ok")
            .policy(on(json!({"StringEquals": {"kms:EncryptionContext:byok:workspace": ["other", "acme"]}}))),
        case("several keys must all hold", "bare", "Decrypt", DENIED)
            .policy(on(json!({"StringEquals": {"kms:EncryptionContext:byok:workspace": "acme", "kms:EncryptionContext:byok:broker": "b"}}))),
        case("several operators must all hold", "bare", "Decrypt", DENIED)
            .policy(on(json!({"StringEquals": {"kms:EncryptionContext:byok:workspace": "acme"}, "Bool": {"kms:MultiRegion": "true"}}))),
        case("StringLike has wildcards", "bare", "Decrypt", "ok")
            .policy(on(json!({"StringLike": {"kms:EncryptionContext:byok:workspace": "ac*"}}))),
        case("which must cover the whole value", "bare", "Decrypt", DENIED)
            .policy(on(json!({"StringLike": {"kms:EncryptionContext:byok:workspace": "c*"}}))),
        case("StringEquals has none", "bare", "Decrypt", DENIED)
            .policy(on(context("byok:workspace", "ac*"))),
        case("a value with a star in it is covered by a wildcard", "bare", "Decrypt", DENIED).under(json!({"w": "*x"}))
            .policy(allow(&bare(), "kms:*"))
            .policy(deny_if("*", "kms:*", json!({"StringLike": {"kms:EncryptionContext:w": "*"}}))),
        case("a star in a request is no wildcard", "bare", "Decrypt", DENIED).under(json!({"byok:workspace": "*"}))
            .policy(on(context("byok:workspace", "acme"))),
        case("ForAllValues on EncryptionContextKeys allows the listed keys", "bare", "Decrypt", "ok")
            .policy(on(only(json!(["byok:workspace", "byok:broker"])))),
        case("and refuses a further one", "bare", "Decrypt", DENIED).under(json!({"byok:workspace": "acme", "x": "y"}))
            .policy(on(only(json!(["byok:workspace"])))),
        case("it compares keys with case", "bare", "Decrypt", DENIED).under(json!({"BYOK:WORKSPACE": "acme"}))
            .policy(on(only(json!(["byok:workspace"])))),
        case("ForAllValues holds where there is no context at all", "bare", "Decrypt", "ok").under(json!({}))
            .policy(on(only(json!(["byok:workspace"])))),
        case("which Null closes", "bare", "Decrypt", DENIED).under(json!({}))
            .policy(on(json!({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["byok:workspace"]}, "Null": {"kms:EncryptionContextKeys": "false"}}))),
        case("ForAnyValue wants one of the keys", "bare", "Decrypt", "ok").under(json!({"byok:workspace": "acme", "x": "y"}))
            .policy(on(json!({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "byok:workspace"}}))),
        case("and does not hold where there is none", "bare", "Decrypt", DENIED).under(json!({}))
            .policy(on(json!({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "byok:workspace"}}))),
        case("kms:ViaService never holds for a direct call", "bare", "Decrypt", DENIED)
            .policy(on(json!({"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}))),
        case("aws:PrincipalArn is the role's ARN", "bare", "Decrypt", "ok")
            .policy(allow_if("*", "kms:*", json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/b*"}}))),
        case("aws:PrincipalAccount", "bare", "Decrypt", DENIED)
            .policy(allow_if("*", "kms:*", json!({"StringEquals": {"aws:PrincipalAccount": BROKER}}))),
        case("a policy variable stands for the caller's value", "bare", "Decrypt", "ok").under(json!({"account": CUSTOMER}))
            .policy(on(context("account", "${aws:PrincipalAccount}"))),
        case("one without a value matches nothing", "bare", "Decrypt", DENIED).under(json!({"tag": ""}))
            .policy(on(context("tag", "${aws:PrincipalTag/tag}"))),
        case("the fence: GenerateDataKey under the workspace's context", "broker", "GenerateDataKey", "ok")
            .policy(allow_if(&broker(), "kms:GenerateDataKey", context("byok:workspace", "acme"))),
        case("the fence: not under another workspace's", "broker", "GenerateDataKey", DENIED).under(json!({"byok:workspace": "evil"}))
            .policy(allow_if(&broker(), "kms:GenerateDataKey", context("byok:workspace", "acme"))),
        case("a context condition does not hold for DescribeKey, which has none", "bare", "DescribeKey", DENIED)
            .policy(on(context("byok:workspace", "acme"))),
        case("CreateGrant limited to grantees", "delegate", "CreateGrant", "ok")
            .policy(allow_if(&root(CUSTOMER), "kms:CreateGrant", json!({"StringEquals": {"kms:GranteePrincipal": broker()}}))),
        case("and refused for others", "delegate", "CreateGrant", DENIED)
            .policy(allow_if(&root(CUSTOMER), "kms:CreateGrant", json!({"StringEquals": {"kms:GranteePrincipal": bare()}}))),
        case("CreateGrant limited to operations", "delegate", "CreateGrant", "ok")
            .policy(allow_if(&root(CUSTOMER), "kms:CreateGrant", json!({"ForAllValues:StringEquals": {"kms:GrantOperations": ["Decrypt", "Encrypt"]}}))),
        case("and refused for a further one", "delegate", "CreateGrant", DENIED)
            .policy(allow_if(&root(CUSTOMER), "kms:CreateGrant", json!({"ForAllValues:StringEquals": {"kms:GrantOperations": ["Encrypt"]}}))),
        case("kms:GrantIsForAWSResource is false for a direct call", "delegate", "CreateGrant", DENIED)
            .policy(allow_if(&root(CUSTOMER), "kms:CreateGrant", json!({"Bool": {"kms:GrantIsForAWSResource": "true"}}))),
        case("kms:RequestAlias is absent where the key is named by its ARN", "bare", "Encrypt", DENIED)
            .policy(on(json!({"StringEquals": {"kms:RequestAlias": "alias/app"}}))),
    ]
}

#[rustfmt::skip]
fn grants() -> Vec<Case> {
    let subset = |context: Value| constrained(&bare(), &["Decrypt", "DescribeKey"], "EncryptionContextSubset", context);
    let equals = |context: Value| constrained(&bare(), &["Decrypt", "DescribeKey"], "EncryptionContextEquals", context);
    let chain = |outer: Value| case("", "bare", "CreateGrant", "").grant(outer);
    let rule = |rule, answer, case: Case| Case { rule, answer, ..case };
    vec![
        case("a grant is enough at home", "bare", "Decrypt", "ok").grant(grant(&bare(), &["Decrypt"])),
        case("for its grantee alone", "delegate", "Decrypt", DENIED).grant(grant(&bare(), &["Decrypt"])),
        case("for its operations alone", "bare", "Encrypt", DENIED).grant(grant(&bare(), &["Decrypt"])),
        case("a grant to a role holds for its sessions", "session", "Decrypt", "ok").grant(grant(&broker(), &["Decrypt"])),
        case("a grant to one session holds for it", "session", "Decrypt", "ok")
            .grant(grant("arn:aws:sts::444455556666:assumed-role/broker/deploy", &["Decrypt"])),
        case("and not for another", "broker", "Decrypt", DENIED)
            .grant(grant("arn:aws:sts::444455556666:assumed-role/broker/deploy", &["Decrypt"])),
        case("a Subset constraint holds with its pairs", "bare", "Decrypt", "ok").grant(subset(json!({"byok:workspace": "acme"}))),
        case("and with further ones", "bare", "Decrypt", "ok").under(json!({"byok:workspace": "acme", "x": "y"}))
            .grant(subset(json!({"byok:workspace": "acme"}))),
        case("not with another value", "bare", "Decrypt", DENIED).grant(subset(json!({"byok:workspace": "other"}))),
        case("not without the pair", "bare", "Decrypt", DENIED).under(json!({})).grant(subset(json!({"byok:workspace": "acme"}))),
        case("a constraint's keys are compared with case in the call", "bare", "Decrypt", DENIED)
            .grant(subset(json!({"BYOK:workspace": "acme"}))),
        case("an Equals constraint holds with exactly its pairs", "bare", "Decrypt", "ok").grant(equals(json!({"byok:workspace": "acme"}))),
        case("not with further ones", "bare", "Decrypt", DENIED).under(json!({"byok:workspace": "acme", "x": "y"}))
            .grant(equals(json!({"byok:workspace": "acme"}))),
        case("constraints do not apply to DescribeKey", "bare", "DescribeKey", "ok").grant(equals(json!({"byok:workspace": "acme"}))),
        case("one of several grants is enough", "bare", "Decrypt", "ok")
            .grant(subset(json!({"byok:workspace": "other"}))).grant(subset(json!({"byok:workspace": "acme"}))),
        case("two grants do not add up", "bare", "ReEncrypt", DENIED)
            .grant(constrained(&bare(), &["ReEncryptFrom"], "EncryptionContextSubset", json!({"byok:workspace": "acme"})))
            .grant(constrained(&bare(), &["ReEncryptTo"], "EncryptionContextSubset", json!({"byok:workspace": "other"}))),
        case("ReEncrypt needs both halves: From alone is not enough", "bare", "ReEncrypt", DENIED).grant(grant(&bare(), &["ReEncryptFrom"])),
        case("nor To alone", "bare", "ReEncrypt", DENIED).grant(grant(&bare(), &["ReEncryptTo"])),
        case("both are", "bare", "ReEncrypt", "ok").grant(grant(&bare(), &["ReEncryptFrom", "ReEncryptTo"])),
        case("one by the policy, one by a grant", "bare", "ReEncrypt", "ok")
            .grant(grant(&bare(), &["ReEncryptFrom"])).policy(allow(&bare(), "kms:ReEncryptTo")),
        case("Decrypt and Encrypt do not make a ReEncrypt", "bare", "ReEncrypt", DENIED).policy(allow(&bare(), "kms:*crypt")),
        case("a grant for Decrypt does not let its grantee revoke it", "bare", "RevokeGrant", DENIED).grant(grant(&bare(), &["Decrypt"])),
        case("nor retire it", "bare", "RetireGrant", DENIED).grant(grant(&bare(), &["Decrypt"])),
        case("a grant with RetireGrant does", "bare", "RetireGrant", "ok").grant(grant(&bare(), &["Decrypt", "RetireGrant"])),
        case("the retiring principal may retire", "bare", "RetireGrant", "ok")
            .grant(json!({"GranteePrincipal": broker(), "Operations": ["Decrypt"], "RetiringPrincipal": bare()})),
        case("and may not use", "bare", "Decrypt", DENIED)
            .grant(json!({"GranteePrincipal": broker(), "Operations": ["Decrypt"], "RetiringPrincipal": bare()})),
        case("the account's root may retire", "root", "RetireGrant", "ok").grant(grant(&broker(), &["Decrypt"])),
        case("a Deny holds against the retiring principal", "bare", "RetireGrant", DENIED).policy(deny(&bare(), "kms:RetireGrant"))
            .grant(json!({"GranteePrincipal": broker(), "Operations": ["Decrypt"], "RetiringPrincipal": bare()})),
        case("ListGrants cannot be granted", "bare", "ListGrants", DENIED).grant(grant(&bare(), &["Decrypt", "CreateGrant"])),
        rule("a grantee may hand on what its grant holds", "ok", chain(grant(&bare(), &["Decrypt", "CreateGrant"]))),
        rule("but no operation that it does not hold", DENIED, chain(grant(&bare(), &["Encrypt", "CreateGrant"]))),
        rule("and only with CreateGrant", DENIED, chain(grant(&bare(), &["Decrypt"]))),
        rule("constraints cannot be shed", DENIED,
            chain(constrained(&bare(), &["Decrypt", "CreateGrant"], "EncryptionContextSubset", json!({"a": "b"})))),
        rule("constraints can be tightened", "ok",
            chain(constrained(&bare(), &["Decrypt", "CreateGrant"], "EncryptionContextSubset", json!({"a": "b"})))
                .with(json!({"Constraints": {"EncryptionContextEquals": {"a": "b", "c": "d"}}}))),
        rule("not loosened from Equals to Subset", DENIED,
            chain(constrained(&bare(), &["Decrypt", "CreateGrant"], "EncryptionContextEquals", json!({"a": "b"})))
                .with(json!({"Constraints": {"EncryptionContextSubset": {"a": "b"}}}))),
    ]
}

#[rustfmt::skip]
fn accounts() -> Vec<Case> {
    vec![
        case("across accounts: key policy and identity policy", "broker", "Decrypt", "ok").policy(allow(&broker(), "kms:Decrypt")),
        case("a role named in a key policy is named in its sessions", "session", "Decrypt", "ok").policy(allow(&broker(), "kms:Decrypt")),
        case("across accounts the key policy alone is not enough", "mute", "Decrypt", DENIED).policy(allow(&role(BROKER, "mute"), "kms:Decrypt")),
        case("nor for everyone", "mute", "Decrypt", DENIED).policy(allow("*", "kms:Decrypt")),
        case("nor a grant", "mute", "Decrypt", DENIED).grant(grant(&role(BROKER, "mute"), &["Decrypt"])),
        case("a grant and an identity policy are", "broker", "Decrypt", "ok").grant(grant(&broker(), &["Decrypt"])),
        case("the identity policy alone is not", "broker", "Decrypt", DENIED),
        case("the identity policy must allow this key", "elsewhere", "Decrypt", DENIED).policy(allow(&role(BROKER, "elsewhere"), "kms:Decrypt")),
        case("the key policy may delegate to another account", "broker", "Decrypt", "ok").policy(allow(&root(BROKER), "kms:Decrypt")),
        case("which its identity policies must take up", "mute", "Decrypt", DENIED).policy(allow(&root(BROKER), "kms:Decrypt")),
        case("the other account's root needs none", "broker-root", "Decrypt", "ok").policy(allow(&root(BROKER), "kms:Decrypt")),
        case("a grant to an account delegates to it", "broker", "Decrypt", "ok").grant(grant(&root(BROKER), &["Decrypt"])),
        case("as far as its identity policies go", "mute", "Decrypt", DENIED).grant(grant(&root(BROKER), &["Decrypt"])),
        case("a third account is not meant", "stranger", "Decrypt", DENIED).policy(allow(&root(BROKER), "kms:Decrypt")),
        case("a same-named role of another account is not meant", "stranger", "Decrypt", DENIED).policy(allow(&role(CUSTOMER, "admin"), "kms:*")),
        case("DescribeKey works across accounts", "broker", "DescribeKey", "ok").policy(allow(&broker(), "kms:DescribeKey")),
        case("CreateGrant works across accounts", "broker", "CreateGrant", "ok").policy(allow(&broker(), "kms:CreateGrant")),
        case("ListGrants works across accounts", "broker", "ListGrants", "ok").policy(allow(&broker(), "kms:ListGrants")),
        case("RevokeGrant works across accounts", "broker", "RevokeGrant", "ok").policy(allow(&broker(), "kms:RevokeGrant"))
            .grant(grant(&broker(), &["Decrypt"])),
        case("RetireGrant works across accounts", "broker", "RetireGrant", "ok").grant(grant(&broker(), &["RetireGrant"])),
        case("GetKeyPolicy does not, whatever allows it", "broker", "GetKeyPolicy", DENIED).policy(allow(&broker(), "kms:*")),
        case("PutKeyPolicy does not", "broker", "PutKeyPolicy", DENIED).policy(allow(&broker(), "kms:*")),
        case("DisableKey does not", "broker", "DisableKey", DENIED).policy(allow(&broker(), "kms:*")),
        case("ScheduleKeyDeletion does not", "broker", "ScheduleKeyDeletion", DENIED).policy(allow(&broker(), "kms:*")),
        case("a key that is not there, of another account, for one who may ask", "broker", "Decrypt", "NotFoundException")
            .with(json!({"KeyId": format!("arn:aws:kms:{REGION}:{STRANGER}:key/00000000-0000-4000-8000-000000000000")})),
        case("and for one who may not: no telling", "mute", "Decrypt", DENIED)
            .with(json!({"KeyId": format!("arn:aws:kms:{REGION}:{STRANGER}:key/00000000-0000-4000-8000-000000000000")})),
        case("one's own account's missing key is not found", "bare", "Decrypt", "NotFoundException")
            .with(json!({"KeyId": "00000000-0000-4000-8000-000000000000"})),
        case("an id alone is one's own account's", "broker", "DescribeKey", "NotFoundException").policy(allow("*", "kms:*"))
            .with(json!({"KeyId": "the id alone"})),
    ]
}

#[rustfmt::skip]
fn states() -> Vec<Case> {
    let may = |who: &'static str, operation, answer, state, rule| case(rule, who, operation, answer).state(state).policy(allow(&root(CUSTOMER), "kms:*"));
    vec![
        may("delegate", "Decrypt", "DisabledException", "Disabled", "a disabled key does not decrypt"),
        may("delegate", "Encrypt", "DisabledException", "Disabled", "nor encrypt"),
        may("delegate", "GenerateDataKey", "DisabledException", "Disabled", "nor make data keys"),
        may("delegate", "ReEncrypt", "DisabledException", "Disabled", "nor re-encrypt"),
        may("delegate", "CreateGrant", "DisabledException", "Disabled", "nor take grants"),
        may("delegate", "DescribeKey", "ok", "Disabled", "it can be described"),
        may("delegate", "ListGrants", "ok", "Disabled", "its grants listed"),
        may("delegate", "GetKeyPolicy", "ok", "Disabled", "its policy read"),
        may("delegate", "EnableKey", "ok", "Disabled", "it can be enabled"),
        may("delegate", "ScheduleKeyDeletion", "ok", "Disabled", "and deleted"),
        may("delegate", "CancelKeyDeletion", "KMSInvalidStateException", "Disabled", "where no deletion is pending, none is cancelled"),
        may("delegate", "Decrypt", "KMSInvalidStateException", "PendingDeletion", "a key pending deletion does not decrypt"),
        may("delegate", "GenerateDataKey", "KMSInvalidStateException", "PendingDeletion", "nor make data keys"),
        may("delegate", "CreateGrant", "KMSInvalidStateException", "PendingDeletion", "nor take grants"),
        may("delegate", "EnableKey", "KMSInvalidStateException", "PendingDeletion", "nor can it be enabled"),
        may("delegate", "DisableKey", "KMSInvalidStateException", "PendingDeletion", "nor disabled"),
        may("delegate", "ScheduleKeyDeletion", "KMSInvalidStateException", "PendingDeletion", "nor scheduled again"),
        may("delegate", "CancelKeyDeletion", "ok", "PendingDeletion", "its deletion can be cancelled"),
        may("delegate", "DescribeKey", "ok", "PendingDeletion", "it can be described"),
        may("delegate", "GetKeyPolicy", "ok", "PendingDeletion", "its policy read"),
        may("delegate", "PutKeyPolicy", "ok", "PendingDeletion", "and changed"),
        may("bare", "Decrypt", DENIED, "Disabled", "who may not, learns nothing of a disabled key"),
        may("bare", "Decrypt", DENIED, "PendingDeletion", "nor of one pending deletion"),
        case("a grant does not help a disabled key", "bare", "Decrypt", "DisabledException").state("Disabled").grant(grant(&bare(), &["Decrypt"])),
    ]
}

#[rustfmt::skip]
fn ciphertexts() -> Vec<Case> {
    let may = |rule, answer| case(rule, "bare", "Decrypt", answer).policy(allow(&bare(), "kms:*"));
    vec![
        may("another context does not open", "InvalidCiphertextException").asks_under(json!({"byok:workspace": "other"})),
        may("nor none", "InvalidCiphertextException").asks_under(json!({})),
        may("nor one with a further pair", "InvalidCiphertextException").asks_under(json!({"byok:workspace": "acme", "x": "y"})),
        may("nor one whose key differs by case", "InvalidCiphertextException").asks_under(json!({"BYOK:workspace": "acme"})),
        may("the order of pairs does not matter", "ok").under(json!({"b": "2", "a": "1"})),
        may("without KeyId the blob names the key", "ok").with(json!({"KeyId": null})),
        may("what is no blob is none", "InvalidCiphertextException").with(json!({"CiphertextBlob": "aGVsbG8="})),
        may("a blob under another key is IncorrectKey", "IncorrectKeyException").with(json!({"CiphertextBlob": "another key's"})),
        case("who may not, does not learn that the context is wrong", "delegate", "Decrypt", DENIED).asks_under(json!({})),
        case("who may not, does not learn that the key is another", "delegate", "Decrypt", DENIED).with(json!({"CiphertextBlob": "another key's"})),
        may("a dry run that would succeed says so by its error", "DryRunOperationException").with(json!({"DryRun": true})),
        case("a dry run of one who may not", "delegate", "Decrypt", DENIED).with(json!({"DryRun": true})),
        may("a dry run reads the ciphertext", "InvalidCiphertextException").with(json!({"DryRun": true})).asks_under(json!({})),
        may("unless told to ignore it", "DryRunOperationException").with(json!({"DryRun": true, "DryRunModifiers": ["IGNORE_CIPHERTEXT"], "CiphertextBlob": null})),
        may("which needs the key", "ValidationException").with(json!({"DryRun": true, "DryRunModifiers": ["IGNORE_CIPHERTEXT"], "CiphertextBlob": null, "KeyId": null})),
        may("and the dry run", "ValidationException").with(json!({"DryRunModifiers": ["IGNORE_CIPHERTEXT"], "CiphertextBlob": null})),
        may("an unknown token is refused", "InvalidGrantTokenException").with(json!({"GrantTokens": ["what is this"]})),
        case("and before anything else", "delegate", "Decrypt", "InvalidGrantTokenException").with(json!({"GrantTokens": ["what is this"]})),
        may("a malformed ARN", "InvalidArnException").with(json!({"KeyId": "arn:aws:kms:eu-west-1:111122223333:nothing"})),
        may("an ARN of another Region", "NotFoundException").with(json!({"KeyId": format!("arn:aws:kms:us-east-1:{CUSTOMER}:key/00000000-0000-4000-8000-000000000000")})),
        may("a number where text belongs", "SerializationException").with(json!({"KeyId": 7})),
    ]
}

#[rustfmt::skip]
fn writing_policies() -> Vec<Case> {
    let put = |rule, answer, statement: Value| case(rule, "delegate", "PutKeyPolicy", answer)
        .policy(allow(&root(CUSTOMER), "kms:*"))
        .with(json!({"Policy": json!({"Version": "2012-10-17", "Statement": [allow(&root(CUSTOMER), "kms:*"), statement]}).to_string()}));
    let alone = |rule, answer, statement: Value, bypass: bool| case(rule, "delegate", "PutKeyPolicy", answer)
        .policy(allow(&root(CUSTOMER), "kms:*"))
        .with(json!({"Policy": json!({"Version": "2012-10-17", "Statement": [statement]}).to_string(), "BypassPolicyLockoutSafetyCheck": bypass}));
    vec![
        put("a sound policy is taken", "ok", allow(&broker(), "kms:Decrypt")),
        put("ForAllValues on kms:EncryptionContext:key is refused", MALFORMED,
            allow_if(&broker(), "kms:Decrypt", json!({"ForAllValues:StringEquals": {"kms:EncryptionContext:a": "b"}}))),
        put("ForAnyValue, too", MALFORMED,
            allow_if(&broker(), "kms:Decrypt", json!({"ForAnyValue:StringEquals": {"kms:encryptioncontext:a": "b"}}))),
        put("an operator that there is not", MALFORMED, allow_if(&broker(), "kms:Decrypt", json!({"StringSame": {"kms:CallerAccount": "b"}}))),
        put("a value that an operator cannot take", MALFORMED, allow_if(&broker(), "kms:Decrypt", json!({"Bool": {"kms:GrantIsForAWSResource": "maybe"}}))),
        put("a wildcard in a principal's ARN", MALFORMED, allow("arn:aws:iam::444455556666:role/*", "kms:Decrypt")),
        put("what is no principal", MALFORMED, allow("somebody", "kms:Decrypt")),
        put("NotPrincipal with Allow", MALFORMED, json!({"Effect": "Allow", "NotPrincipal": {"AWS": broker()}, "Action": "kms:Decrypt", "Resource": "*"})),
        put("a statement without a principal", MALFORMED, json!({"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"})),
        put("a statement without a resource", MALFORMED, json!({"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt"})),
        put("a statement without an effect", MALFORMED, json!({"Principal": "*", "Action": "kms:Decrypt", "Resource": "*"})),
        put("an element that there is not", MALFORMED, json!({"Effect": "Allow", "Principal": "*", "Actions": "kms:Decrypt", "Action": "kms:Decrypt", "Resource": "*"})),
        alone("a policy that locks its author out", MALFORMED, allow(&bare(), "kms:*"), false),
        alone("is taken if the check is bypassed", "ok", allow(&bare(), "kms:*"), true),
        alone("PutKeyPolicy for the author is enough", "ok", allow(&role(CUSTOMER, "delegate"), "kms:PutKeyPolicy"), false),
        alone("delegation to the account is enough", "ok", allow(&root(CUSTOMER), "kms:PutKeyPolicy"), false),
        alone("to another account is not", MALFORMED, allow(&root(BROKER), "kms:*"), false),
        put("a Deny of PutKeyPolicy for everyone locks out, too", MALFORMED, deny("*", "kms:PutKeyPolicy")),
    ]
}

#[tokio::test]
async fn every_rule_of_the_table_holds() {
    let tables = [
        key_policies(),
        delegation(),
        denies(),
        conditions(),
        grants(),
        accounts(),
        states(),
        ciphertexts(),
        writing_policies(),
    ];
    let world = World::new();
    let mut wrong = Vec::new();
    let mut rows = 0;
    for case in tables.into_iter().flatten() {
        rows += 1;
        let got = answer(&world, &case).await;
        if got != case.answer {
            wrong.push(format!(
                "{} ({} {}): {got}, not {}",
                case.rule, case.who, case.operation, case.answer
            ));
        }
    }
    assert!(rows >= 80, "only {rows} rows");
    assert!(
        wrong.is_empty(),
        "{} of {rows} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Builds the row's key and makes its call, over HTTP.
async fn answer(world: &World, case: &Case) -> String {
    let key = world.key(&[]);
    let sealed = world.data_key("admin", &key, &case.sealed);
    let mut grant_id = "0".repeat(64);
    for grant in &case.grants {
        let mut grant = grant.clone();
        grant["KeyId"] = json!(key);
        let made = world.ok("admin", "CreateGrant", grant);
        grant_id = made["GrantId"].as_str().unwrap().to_owned();
    }
    match case.state {
        "Enabled" => {}
        "Disabled" => drop(world.ok("admin", "DisableKey", json!({"KeyId": key}))),
        "PendingDeletion" => drop(world.ok("admin", "ScheduleKeyDeletion", json!({"KeyId": key}))),
        other => panic!("no state {other}"),
    }
    let mut statements = case.policy.clone();
    if statements.is_empty() {
        // A policy has at least one statement; this one says nothing to anyone here.
        statements.push(allow(&role(STRANGER, "nobody"), "kms:Decrypt"));
    }
    let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    world.ok(
        "admin",
        "PutKeyPolicy",
        json!({"KeyId": key, "Policy": policy, "BypassPolicyLockoutSafetyCheck": true}),
    );
    let mut input = input(case, &key, &sealed, &grant_id, &policy);
    for (name, value) in case.more.as_object().unwrap() {
        input[name] = value.clone();
    }
    if input["CiphertextBlob"] == "another key's" {
        let other = world.key(&[]);
        input["CiphertextBlob"] =
            world.data_key("admin", &other, &case.sealed)["CiphertextBlob"].clone();
    }
    if input["KeyId"] == "the id alone" {
        input["KeyId"] = json!(key.rsplit('/').next());
    }
    let (status, _, body) = post(&world.kms, case.who, case.operation, &input).await;
    match status {
        200 => "ok".to_owned(),
        _ => body["__type"].as_str().unwrap().to_owned(),
    }
}

fn input(case: &Case, key: &str, sealed: &Value, grant_id: &str, policy: &str) -> Value {
    let context = &case.context;
    let blob = &sealed["CiphertextBlob"];
    match case.operation {
        "Decrypt" => json!({"KeyId": key, "CiphertextBlob": blob, "EncryptionContext": context}),
        "Encrypt" => json!({"KeyId": key, "Plaintext": "aGVsbG8=", "EncryptionContext": context}),
        "GenerateDataKey" | "GenerateDataKeyWithoutPlaintext" => {
            json!({"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context})
        }
        "ReEncrypt" => json!({"CiphertextBlob": blob, "SourceKeyId": key, "DestinationKeyId": key,
            "SourceEncryptionContext": context, "DestinationEncryptionContext": context}),
        "CreateGrant" => {
            json!({"KeyId": key, "GranteePrincipal": broker(), "Operations": ["Decrypt"]})
        }
        "RevokeGrant" | "RetireGrant" => json!({"KeyId": key, "GrantId": grant_id}),
        "PutKeyPolicy" => json!({"KeyId": key, "Policy": policy}),
        _ => json!({"KeyId": key}),
    }
}
