//! The judgement: statement by statement, grant by grant, and then of the whole.

mod allows;
mod denies;
mod grants;

use super::{
    Draft, FINDINGS_MAX, Finding, Grade, Report, Severity,
    conditions::Own,
    reader,
    statement::Statement,
    whom::{self, Reach},
};
use crate::{Job, KeyPolicy};
use serde_json::{Value, json};

/// Judges a draft for one workspace.
pub(super) fn judge(policy: &KeyPolicy<'_>, draft: &Draft) -> Report {
    let mut judge = Judge {
        policy,
        own: Own::of(policy),
        draft,
        report: Report {
            grade: Grade::Strict,
            findings: Vec::new(),
            more: 0,
        },
        refused: false,
        opens: false,
        by_policy: Vec::new(),
        by_grant: Vec::new(),
        denied: Vec::new(),
    };
    let statements = judge.statements();
    judge.allows(&statements);
    judge.denies(&statements);
    judge.grants();
    judge.whole(&statements);
    judge.report.grade = match () {
        () if judge.refused || !judge.can(Job::Put) || !judge.can(Job::Use) => Grade::Refused,
        () if judge.opens => Grade::Permissive,
        () => Grade::Strict,
    };
    judge.report
}

struct Judge<'a> {
    policy: &'a KeyPolicy<'a>,
    own: Own<'a>,
    draft: &'a Draft,
    report: Report,
    /// KMS would not take it.
    refused: bool,
    /// It lets more in than this workspace's calls.
    opens: bool,
    /// Actions that the broker's own calls are allowed by statements.
    by_policy: Vec<&'static str>,
    /// The same by grants.
    by_grant: Vec<&'static str>,
    /// Actions that they are denied.
    denied: Vec<&'static str>,
}

/// A statement that was read, and its name in findings.
struct Read {
    at: String,
    reach: Reach,
    statement: Statement,
}

impl Judge<'_> {
    fn can(&self, job: Job) -> bool {
        job.actions().iter().all(|action| {
            (self.by_policy.contains(action) || self.by_grant.contains(action))
                && !self.denied.contains(action)
        })
    }

    fn find(
        &mut self,
        severity: Severity,
        code: &'static str,
        at: &str,
        message: impl Into<String>,
        mend: Vec<Value>,
    ) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding {
                severity,
                code,
                at: at.to_owned(),
                message: message.into(),
                mend,
            });
        } else {
            self.report.more += 1;
        }
    }

    fn malformed(&mut self, at: &str, rule: &str) {
        self.refused = true;
        let message = format!("KMS would not take this: {rule}.");
        self.find(Severity::Error, "malformed", at, message, Vec::new());
    }

    /// The statements of the draft that are of the grammar; the others are found malformed.
    fn statements(&mut self) -> Vec<Read> {
        let mut list: Vec<Value> = Vec::new();
        if let Some(policy) = &self.draft.policy {
            match document(policy) {
                Ok(statements) => list.extend(statements),
                Err(rule) => self.malformed("policy", rule),
            }
        }
        match &self.draft.statements {
            None => {}
            Some(Value::Array(statements)) => list.extend(statements.iter().cloned()),
            Some(one) => list.push(one.clone()),
        }
        let mut read = Vec::new();
        for (index, value) in list.iter().enumerate() {
            let sid = value.get("Sid").and_then(Value::as_str).unwrap_or_default();
            let at = named("statement", index, "Sid ", sid);
            match Statement::parse(value) {
                Ok(statement) => read.push(Read {
                    at,
                    reach: whom::reach(&statement, &self.own),
                    statement,
                }),
                Err(rule) => self.malformed(&at, rule),
            }
        }
        read
    }

    /// What is wrong with the whole: what is missing, and what stands twice.
    fn whole(&mut self, statements: &[Read]) {
        let by_policy = self.draft.policy.is_some() || self.draft.statements.is_some();
        let at = if by_policy { "policy" } else { "grants" };
        let has =
            |action: &str| self.by_policy.contains(&action) || self.by_grant.contains(&action);
        let missing: Vec<&'static str> = Job::ALL
            .iter()
            .flat_map(|job| job.actions())
            .copied()
            .filter(|action| !has(action))
            .collect();
        let mend = |job: Job| match by_policy {
            true => vec![self.policy.statement(job)],
            false => vec![self.policy.grant()],
        };
        let mut found = Vec::new();
        for (action, code, what) in [
            (
                "GenerateDataKey",
                "missing_generate_data_key",
                "put no secret",
            ),
            ("Decrypt", "missing_decrypt", "use no secret"),
        ] {
            if missing.contains(&action) {
                let job = if action == "Decrypt" {
                    Job::Use
                } else {
                    Job::Put
                };
                let message =
                    format!("Nothing here allows the broker kms:{action}: it could {what}.");
                found.push((Severity::Error, code, message, mend(job)));
            }
        }
        let moves = ["ReEncryptFrom", "ReEncryptTo"].map(|action| missing.contains(&action));
        match moves {
            [true, true] => found.push((
                Severity::Warning,
                "missing_re_encrypt",
                "Nothing here allows the broker kms:ReEncryptFrom and kms:ReEncryptTo: it could \
                 neither change where a secret may go nor move secrets to another key."
                    .to_owned(),
                mend(Job::Move),
            )),
            [false, false] => {}
            _ => found.push((
                Severity::Error,
                "half_re_encrypt",
                "KMS asks for both kms:ReEncryptFrom and kms:ReEncryptTo, and only one is allowed here."
                    .to_owned(),
                mend(Job::Move),
            )),
        }
        if missing.contains(&"DescribeKey") {
            found.push((
                Severity::Warning,
                "missing_describe_key",
                "Nothing here allows the broker kms:DescribeKey: nobody could be warned of the key's \
                 end, nor told why it does not work."
                    .to_owned(),
                mend(Job::Watch),
            ));
        }
        let both = told(
            Job::ALL
                .iter()
                .flat_map(|job| job.actions())
                .filter(|action| self.by_policy.contains(action) && self.by_grant.contains(action)),
        );
        for (severity, code, message, mend) in found {
            self.find(severity, code, at, message, mend);
        }
        if !both.is_empty() {
            let message = format!(
                "The key policy and a grant both allow {both}: revoking the grant would change \
                 nothing. Keep one of them."
            );
            self.find(
                Severity::Error,
                "policy_and_grant",
                "grants",
                message,
                Vec::new(),
            );
        }
        let administered = statements.iter().any(|read| {
            !read.statement.deny
                && read.reach == Reach::Elsewhere
                && read.statement.covered().contains(&"PutKeyPolicy")
        });
        if self.draft.policy.is_some() && !self.refused && !administered {
            self.find(
                Severity::Warning,
                "nobody_administers",
                "policy",
                "No statement lets the key's own account change this policy: KMS refuses such a \
                 policy, or nobody could ever mend it.",
                Vec::new(),
            );
        }
    }

    /// The statements that do what these actions were to do, and no more.
    fn mend(&self, covered: &[&'static str]) -> Vec<Value> {
        Job::ALL
            .into_iter()
            .filter(|job| job.actions().iter().any(|action| covered.contains(action)))
            .map(|job| self.policy.statement(job))
            .collect()
    }
}

/// The statements of a policy document, which GetKeyPolicy gives as text.
fn document(value: &Value) -> Result<Vec<Value>, &'static str> {
    let parsed;
    let value = match value {
        Value::String(text) => {
            parsed = reader::value(text)
                .map_err(|_| "the policy's text is not JSON in which no object has a name twice")?;
            &parsed
        }
        other => other,
    };
    let map = value.as_object().ok_or("a policy is a JSON object")?;
    if map
        .keys()
        .any(|key| !["Version", "Id", "Statement"].contains(&key.as_str()))
    {
        return Err("a policy has Version, Id and Statement and no other element");
    }
    match map.get("Version") {
        None => {}
        Some(version) if *version == json!("2012-10-17") || *version == json!("2008-10-17") => {}
        Some(_) => return Err("Version is \"2012-10-17\""),
    }
    match map.get("Statement") {
        Some(Value::Array(list)) if !list.is_empty() => Ok(list.clone()),
        Some(one @ Value::Object(_)) => Ok(vec![one.clone()]),
        _ => Err("Statement is a statement or a list of statements"),
    }
}

/// The place of a finding. Names are the caller's own words, cut short.
fn named(kind: &str, index: usize, prefix: &str, name: &str) -> String {
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(64)
        .collect();
    match name.is_empty() {
        true => format!("{kind} {}", index + 1),
        false => format!("{kind} {} ({prefix}{name})", index + 1),
    }
}

/// Actions as people read them.
fn told<'a>(actions: impl Iterator<Item = &'a &'static str>) -> String {
    let names: Vec<String> = actions.map(|action| format!("kms:{action}")).collect();
    names.join(", ")
}
