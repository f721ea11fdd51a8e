//! What a customer pastes, whole: a CloudFormation template, Terraform
//! configuration, or commands of the AWS CLI.
//!
//! Every name and every document goes through the quoting of its format, though
//! the grammars leave little to quote: what is pasted is run.

mod quoted;

use super::KeyPolicy;
use quoted::{commented, hcl, hcl_text, heredoc, shell, yaml};
use serde_json::{Value, json};

/// A format that a policy can be written in, beside its own JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyFormat {
    /// A CloudFormation template in YAML (AWS CloudFormation, `AWS::KMS::Key`).
    CloudFormation,
    /// Terraform configuration (hashicorp/aws: `aws_kms_key_policy`, `aws_kms_grant`).
    Terraform,
    /// Commands of the AWS CLI, for a POSIX shell.
    Cli,
}

/// How the customer lets the broker in. One of them, never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By statements of the key policy.
    Policy,
    /// By a grant on the key.
    Grants,
}

/// Stands for the customer's account root until a format puts its own expression
/// there: whose account it is, is known where the text is run. No ARN can be this.
const ACCOUNT_ROOT: &str = "<the account's root>";

impl KeyPolicy<'_> {
    /// The whole text to paste, with the commands of the cut and of its end. It
    /// ends with a line feed.
    #[must_use]
    pub fn text(&self, format: PolicyFormat, way: Way) -> String {
        match format {
            PolicyFormat::CloudFormation => self.cloudformation(way),
            PolicyFormat::Terraform => self.terraform(way),
            PolicyFormat::Cli => self.cli(way),
        }
    }

    /// A whole key policy: the account's own administration first, without which
    /// KMS would refuse it or nobody could change it again.
    fn document(&self, way: Way, cut: bool) -> Value {
        let mut statements = vec![json!({
            "Sid": "AccountAdministersKey",
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT_ROOT},
            "Action": "kms:*",
            "Resource": "*",
        })];
        if way == Way::Policy {
            statements.extend(self.statements());
        }
        if cut {
            statements.push(self.cut());
        }
        json!({"Version": "2012-10-17", "Statement": statements})
    }

    fn about(&self) -> String {
        format!(
            "KEK of the workspace {} at the BYOK broker {}",
            self.workspace, self.broker
        )
    }

    fn cloudformation(&self, way: Way) -> String {
        let root = json!({"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"});
        let template = json!({
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": self.about(),
            "Resources": {"ByokKey": {
                "Type": "AWS::KMS::Key",
                // Without the key no secret opens again: it outlives the stack.
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {
                    "Description": self.about(),
                    "EnableKeyRotation": true,
                    "KeyPolicy": self.document(way, false),
                },
            }},
            "Outputs": {"ByokKeyArn": {"Value": {"Fn::GetAtt": ["ByokKey", "Arn"]}}},
        });
        let head = match way {
            Way::Policy => {
                "The statements Byok* let the broker in. For a key that your stack already has, copy\n\
                 these into its KeyPolicy.\n\
                 The cut: add the statement ByokCut at the end of this file to the KeyPolicy and update\n\
                 the stack. Its end: take it out again.\n"
                    .to_owned()
            }
            Way::Grants => format!(
                "CloudFormation has no resource for a KMS grant: this template makes the key alone.\n\
                 Then give the grant with the AWS CLI:\n\n\
                 KEY=…, the stack's output ByokKeyArn\n{}",
                self.create_grant()
            ),
        };
        let mut text = commented(&head);
        text.push_str(&yaml(&template, 0, &root));
        text.push_str(&commented(&match way {
            Way::Policy => format!(
                "The statement that cuts:\n{}",
                yaml(&json!([self.cut()]), 0, &root)
            ),
            Way::Grants => format!("The cut:\n{}", self.end_grants()),
        }));
        text
    }

    fn terraform(&self, way: Way) -> String {
        let root = "\"arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root\"";
        let mut text = commented(match way {
            Way::Policy => {
                "The statements Byok* let the broker in. For a key that you already have, leave out\n\
                 aws_kms_key.byok and name yours; the policy is the key's whole policy.\n\
                 The cut: set byok_cut to true and apply. Its end: set it back.\n"
            }
            Way::Grants => {
                "The grant lets the broker in. For a key that you already have, leave out\n\
                 aws_kms_key.byok and its policy, and name yours.\n\
                 The cut: set byok_cut to true and apply, which denies at once. Destroying the grant\n\
                 takes effect after a delay, usually less than five minutes.\n"
            }
        });
        let document = self.document(way, false);
        text.push_str(
            "\nvariable \"byok_cut\" {\n  type        = bool\n  default     = false\n  \
             description = \"Whether the broker is cut off.\"\n}\n\n\
             data \"aws_caller_identity\" \"current\" {}\n\n\
             data \"aws_partition\" \"current\" {}\n\n",
        );
        text.push_str(&format!(
            "resource \"aws_kms_key\" \"byok\" {{\n  description         = {}\n  \
             enable_key_rotation = true\n\n  # Without the key no secret opens again.\n  \
             lifecycle {{\n    prevent_destroy = true\n  }}\n}}\n\n",
            hcl_text(&self.about())
        ));
        // A conditional wants both branches of one type, which two lists of objects are not: so
        // the cut is filtered in.
        let list = |value: &Value| hcl(value, 2, root);
        text.push_str(&format!(
            "resource \"aws_kms_key_policy\" \"byok\" {{\n  key_id = aws_kms_key.byok.key_id\n  \
             policy = jsonencode({{\n    Version = {}\n    Statement = concat({}, [for cut in {} : cut if var.byok_cut])\n  }})\n}}\n\n",
            hcl(&document["Version"], 0, root),
            list(&document["Statement"]),
            list(&json!([self.cut()])),
        ));
        if way == Way::Grants {
            let grant = self.grant();
            text.push_str(&format!(
                "resource \"aws_kms_grant\" \"byok\" {{\n  name              = {}\n  \
                 key_id            = aws_kms_key.byok.key_id\n  grantee_principal = {}\n  \
                 operations        = {}\n\n  constraints {{\n    encryption_context_subset = {}\n  }}\n}}\n\n",
                hcl(&grant["Name"], 1, root),
                hcl(&grant["GranteePrincipal"], 1, root),
                hcl(&grant["Operations"], 1, root),
                hcl(&grant["Constraints"]["EncryptionContextSubset"], 2, root),
            ));
        }
        text.push_str("output \"byok_key_arn\" {\n  value = aws_kms_key.byok.arn\n}\n");
        text
    }

    fn cli(&self, way: Way) -> String {
        let mut text = commented(
            "For a POSIX shell and the AWS CLI, with credentials of the key's own account and the\n\
             Region of the key. First: KEY=arn:aws:kms:…, the key's ARN or id.\n",
        );
        // A word after the question mark would be read differently by bash and by dash.
        text.push_str("\n: \"${KEY:?}\"\n");
        if way == Way::Grants {
            text.push_str(&self.create_grant());
            text.push('\n');
            text.push_str(&commented(
                "The answer's GrantToken makes the grant usable at once: give it to PUT /key.\n",
            ));
            text.push('\n');
            text.push_str(&commented(&format!("The cut:\n{}", self.end_grants())));
            return text;
        }
        let put = |file: &str| {
            format!(
                "aws kms put-key-policy --key-id \"$KEY\" --policy-name default --policy file://{file}\n"
            )
        };
        text.push_str("ACCOUNT=$(aws sts get-caller-identity --query Account --output text)\n\n");
        text.push_str(&commented(
            "PutKeyPolicy replaces the key's whole policy. What it was is kept in\n\
             byok-policy-before.json; statements of yours in there belong into both files below,\n\
             before the last command.\n",
        ));
        text.push_str(
            "[ -e byok-policy-before.json ] || aws kms get-key-policy --key-id \"$KEY\" --policy-name default --query Policy --output text > byok-policy-before.json\n\n",
        );
        let root = format!("\"arn:{}:iam::${{ACCOUNT}}:root\"", heredoc(self.home().1));
        for (file, cut) in [("byok-policy.json", false), ("byok-cut.json", true)] {
            text.push_str(&format!(
                "cat > {file} <<BYOK_POLICY\n{}\nBYOK_POLICY\n\n",
                quoted::shell_json(&self.document(way, cut), &root)
            ));
        }
        text.push_str(&put("byok-policy.json"));
        text.push('\n');
        text.push_str(&commented(&format!(
            "The cut, of the broker alone, against every statement and grant:\n{}\
             Its end:\n{}\
             The shortest cut, which stops everyone's use of the key, and its end:\n\
             aws kms disable-key --key-id \"$KEY\"\naws kms enable-key --key-id \"$KEY\"\n",
            put("byok-cut.json"),
            put("byok-policy.json"),
        )));
        text
    }

    fn create_grant(&self) -> String {
        let grant = self.grant();
        let text = |value: &Value| shell(value.as_str().unwrap_or_default());
        let operations: Vec<String> = grant["Operations"]
            .as_array()
            .into_iter()
            .flatten()
            .map(text)
            .collect();
        format!(
            "aws kms create-grant \\\n  --key-id \"$KEY\" \\\n  --grantee-principal {} \\\n  \
             --operations {} \\\n  --constraints {} \\\n  --name {}\n",
            text(&grant["GranteePrincipal"]),
            operations.join(" "),
            shell(&grant["Constraints"].to_string()),
            text(&grant["Name"]),
        )
    }

    /// The commands that end the broker's use of a key which it has by grant. A
    /// repeated CreateGrant may have left several, so all are revoked.
    fn end_grants(&self) -> String {
        format!(
            "aws kms list-grants --key-id \"$KEY\" --grantee-principal {} --query 'Grants[].GrantId' --output text |\n  \
             tr '\\t' '\\n' | while read -r grant; do aws kms revoke-grant --key-id \"$KEY\" --grant-id \"$grant\"; done\n\
             It takes effect after a delay, usually less than five minutes. Its end: the grant anew.\n\
             The fastest cut, which stops everyone's use of the key, and its end:\n\
             aws kms disable-key --key-id \"$KEY\"\naws kms enable-key --key-id \"$KEY\"\n",
            shell(self.role)
        )
    }
}
