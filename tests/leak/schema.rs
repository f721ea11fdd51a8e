//! Whether a JSON value is as the API's document says: the keywords that the
//! document uses, and no others. An object has no field that is not documented,
//! unless its schema says so.

use serde_json::Value;

/// What is wrong with a value; nothing, if it is as documented.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let mut known = Vec::new();
    follow(document, schema, value, &mut known)?;
    if let (Some(fields), false) = (value.as_object(), is_free(document, schema)) {
        for name in fields.keys() {
            if !known.contains(name) {
                return Err(format!("{name} is not documented"));
            }
        }
    }
    Ok(())
}

/// Checks a value, and notes the fields that the schema knows.
fn follow(
    document: &Value,
    schema: &Value,
    value: &Value,
    known: &mut Vec<String>,
) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document
            .pointer(&reference[1..])
            .ok_or_else(|| format!("{reference} leads nowhere"))?;
        return follow(document, target, value, known);
    }
    for part in list(schema, "allOf") {
        follow(document, part, value, known)?;
    }
    let choices = list(schema, "oneOf");
    if !choices.is_empty() {
        let fits = choices
            .iter()
            .find(|one| check(document, one, value).is_ok());
        let one = fits.ok_or("none of the alternatives")?;
        return follow(document, one, value, known);
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !(kinds.is_empty() || kinds.contains(&kind(value)) || kinds == ["number"]) {
        return Err(format!("a {} is not of {kinds:?}", kind(value)));
    }
    if let Some(values) = schema["enum"].as_array()
        && !(values.contains(value) || value.is_null() && kinds.contains(&"null"))
    {
        return Err(format!("{value} is none of those that are documented"));
    }
    for (item, number) in value.as_array().into_iter().flatten().zip(0..) {
        if schema["items"].is_object() {
            check(document, &schema["items"], item).map_err(|why| format!("[{number}]: {why}"))?;
        }
    }
    let Some(fields) = value.as_object() else {
        return Ok(());
    };
    for name in list(schema, "required").iter().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, field) in fields {
        let its = match schema["properties"].get(name) {
            Some(its) => its,
            None if schema["additionalProperties"].is_object() => &schema["additionalProperties"],
            None => continue,
        };
        known.push(name.clone());
        check(document, its, field).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

/// Whether an object may have any fields: it says so, or says nothing of fields at all.
fn is_free(document: &Value, schema: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        return document
            .pointer(&reference[1..])
            .is_some_and(|target| is_free(document, target));
    }
    let says_nothing = ["properties", "allOf", "oneOf", "additionalProperties"]
        .iter()
        .all(|keyword| schema.get(keyword).is_none());
    schema["additionalProperties"] == true || says_nothing
}

fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema[keyword].as_array().map_or(&[], Vec::as_slice)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn what_is_not_documented_or_not_of_its_type_is_seen() {
    let document = serde_json::json!({"components": {"schemas": {
        "Inner": {"type": "object", "required": ["a"], "properties": {"a": {"type": ["string", "null"]}}},
    }}});
    let schema = serde_json::json!({"type": "object", "properties": {
        "inner": {"$ref": "#/components/schemas/Inner"},
        "choice": {"oneOf": [{"type": "null"}, {"type": "integer", "enum": [1, 2]}]},
    }});
    for (value, fits) in [
        (serde_json::json!({"inner": {"a": null}, "choice": 2}), true),
        (serde_json::json!({}), true),
        (serde_json::json!({"inner": {}}), false),
        (serde_json::json!({"inner": {"a": 1}}), false),
        (serde_json::json!({"inner": {"a": "x", "b": 1}}), false),
        (serde_json::json!({"choice": 3}), false),
        (serde_json::json!({"more": 1}), false),
        (serde_json::json!([]), false),
    ] {
        assert_eq!(check(&document, &schema, &value).is_ok(), fits, "{value}");
    }
}
