//! JSON values and texts, quoted as each format wants it.

use super::ACCOUNT_ROOT;
use serde_json::{Map, Value};

/// The order in which people read a statement and a template; the rest follows.
const ORDER: [&str; 17] = [
    "AWSTemplateFormatVersion",
    "Description",
    "Resources",
    "Outputs",
    "Type",
    "DeletionPolicy",
    "UpdateReplacePolicy",
    "Properties",
    "Version",
    "Statement",
    "Sid",
    "Effect",
    "Principal",
    "Action",
    "Resource",
    "StringEquals",
    "Condition",
];

fn in_order(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let place = |key: &str| ORDER.iter().position(|known| *known == key);
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| place(key).unwrap_or(ORDER.len()));
    entries
}

/// Block YAML, all texts in double quotes; `root` stands where the account's root does.
/// Ends with a line feed.
pub(super) fn yaml(value: &Value, indent: usize, root: &Value) -> String {
    let pad = " ".repeat(indent);
    let inner = |value: &Value, indent: usize| match value {
        Value::Object(map) if !map.is_empty() => format!("\n{}", yaml(value, indent, root)),
        Value::Array(list) if !list.is_empty() => format!("\n{}", yaml(value, indent, root)),
        Value::String(text) if text == ACCOUNT_ROOT => format!(" {root}\n"),
        Value::String(text) => format!(" {}\n", yaml_text(text)),
        scalar => format!(" {scalar}\n"),
    };
    match value {
        Value::Object(map) => in_order(map)
            .into_iter()
            .map(|(key, value)| {
                format!("{pad}{}:{}", plain_or_quoted(key), inner(value, indent + 2))
            })
            .collect(),
        Value::Array(list) => list
            .iter()
            .map(|value| match value {
                Value::Object(map) if !map.is_empty() => {
                    // The first key stands beside the dash.
                    let block = yaml(value, indent + 2, root);
                    format!("{pad}- {}", block.trim_start())
                }
                other => format!("{pad}-{}", inner(other, indent + 2)),
            })
            .collect(),
        scalar => format!("{pad}{scalar}\n"),
    }
}

/// A key of YAML: an identifier needs no quotes.
fn plain_or_quoted(key: &str) -> String {
    if is_identifier(key) {
        key.to_owned()
    } else {
        yaml_text(key)
    }
}

fn is_identifier(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric())
}

/// An expression of HCL; `root` is the expression of the account's root.
pub(super) fn hcl(value: &Value, depth: usize, root: &str) -> String {
    braced(
        value,
        depth,
        &Braced {
            key: |key| {
                if is_identifier(key) {
                    key.to_owned()
                } else {
                    hcl_text(key)
                }
            },
            text: hcl_text,
            between: " = ",
            after_pair: "",
            root,
        },
    )
}

/// A text of HCL, its marks of templates doubled (HCL Native Syntax Specification,
/// "Quoted Literals").
pub(super) fn hcl_text(text: &str) -> String {
    quoted(text).replace("${", "$${").replace("%{", "%%{")
}

/// A text in double quotes, by the escapes that JSON, YAML and HCL have in common.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The same, in ASCII: to YAML 1.1, which some tools still read, more characters
/// end a line (YAML 1.2.2, section 5.7, `\U`).
fn yaml_text(text: &str) -> String {
    quoted(text)
        .chars()
        .map(|c| match c.is_ascii() {
            true => c.to_string(),
            false => format!("\\U{:08x}", u32::from(c)),
        })
        .collect()
}

/// JSON within a heredoc whose end mark is not quoted, so that `root` can name a
/// variable of the shell.
pub(super) fn shell_json(value: &Value, root: &str) -> String {
    let text = |text: &str| heredoc(&quoted(text));
    braced(
        value,
        0,
        &Braced {
            key: text,
            text,
            between: ": ",
            after_pair: ",",
            root,
        },
    )
}

/// A text within a heredoc that the shell expands (POSIX.1-2024, Shell Command
/// Language, 2.7.4). A line cannot be the end mark: JSON's line feeds are escaped.
pub(super) fn heredoc(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('$', "\\$")
        .replace('`', "\\`")
}

/// One word of a shell (POSIX.1-2024, Shell Command Language, 2.2.2).
pub(super) fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Every line a comment, whatever it holds; `#` begins one in YAML, HCL and shells.
pub(super) fn commented(text: &str) -> String {
    text.replace(
        |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')),
        " ",
    )
    .lines()
    .map(|line| format!("# {line}").trim_end().to_owned() + "\n")
    .collect()
}

struct Braced<'a> {
    key: fn(&str) -> String,
    text: fn(&str) -> String,
    between: &'static str,
    after_pair: &'static str,
    root: &'a str,
}

fn braced(value: &Value, depth: usize, style: &Braced<'_>) -> String {
    let (pad, end) = ("  ".repeat(depth + 1), "  ".repeat(depth));
    match value {
        Value::String(text) if text == ACCOUNT_ROOT => style.root.to_owned(),
        Value::String(text) => (style.text)(text),
        Value::Object(map) if !map.is_empty() => {
            let pairs: Vec<String> = in_order(map)
                .into_iter()
                .map(|(key, value)| {
                    let value = braced(value, depth + 1, style);
                    format!("{pad}{}{}{value}", (style.key)(key), style.between)
                })
                .collect();
            format!(
                "{{\n{}\n{end}}}",
                pairs.join(&format!("{}\n", style.after_pair))
            )
        }
        Value::Array(list) if !list.is_empty() => {
            let items: Vec<String> = list
                .iter()
                .map(|value| format!("{pad}{}", braced(value, depth + 1, style)))
                .collect();
            format!("[\n{}\n{end}]", items.join(",\n"))
        }
        scalar => scalar.to_string(),
    }
}
