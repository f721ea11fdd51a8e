//! Bodies in JSON, read strictly: unknown and doubled fields are refused by
//! name, a wrong value by the name of its field and the rule, never by itself.

use crate::{Code, Problem};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fmt};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The fields of one JSON object, taken one by one.
///
/// ```text
/// let mut fields = Fields::parse(&body)?;
/// let name: String = fields.required("name", "text")?;
/// fields.finish()?;                                    // refuses what nobody took
/// ```
pub struct Fields<'a> {
    at: String,
    fields: BTreeMap<String, &'a RawValue>,
}

impl<'a> Fields<'a> {
    /// Takes an untrusted body. An empty one is an empty object.
    ///
    /// # Errors
    /// `invalid_request`: it is not one JSON object, or names a field twice.
    pub fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self {
                at: String::new(),
                fields: BTreeMap::new(),
            });
        }
        Self::read(body, String::new())
    }

    fn read(body: &'a [u8], at: String) -> Result<Self, Problem> {
        match serde_json::from_slice::<Object<'a>>(body) {
            Ok(Object(fields)) => Ok(Self { at, fields }),
            Err(error) => {
                let rule = if error.is_data() {
                    "one JSON object, no field twice"
                } else {
                    "well-formed JSON"
                };
                Err(Problem::invalid(
                    if at.is_empty() { "body".to_owned() } else { at },
                    rule,
                ))
            }
        }
    }

    /// Takes a field that may be absent.
    ///
    /// # Errors
    /// `invalid_request`: it is there, but not as `rule` says.
    pub fn optional<T: Deserialize<'a>>(
        &mut self,
        name: &str,
        rule: &str,
    ) -> Result<Option<T>, Problem> {
        self.fields
            .remove(name)
            .map(|raw| {
                serde_json::from_str(raw.get()).map_err(|_| Problem::invalid(self.path(name), rule))
            })
            .transpose()
    }

    /// Takes a field that must be there.
    ///
    /// # Errors
    /// `invalid_request`: it is absent, or not as `rule` says.
    pub fn required<T: Deserialize<'a>>(&mut self, name: &str, rule: &str) -> Result<T, Problem> {
        self.optional(name, rule)?
            .ok_or_else(|| Problem::invalid(self.path(name), format!("required: {rule}")))
    }

    /// Takes a field that is an object of its own.
    ///
    /// # Errors
    /// `invalid_request`: it is absent, or not an object.
    pub fn object(&mut self, name: &str) -> Result<Fields<'a>, Problem> {
        let path = self.path(name);
        match self.fields.remove(name) {
            Some(raw) => Self::read(raw.get().as_bytes(), path),
            None => Err(Problem::invalid(path, "required: an object")),
        }
    }

    /// Takes a field's JSON text exactly as it stands in the body.
    pub fn raw(&mut self, name: &str) -> Option<&'a str> {
        self.fields.remove(name).map(RawValue::get)
    }

    /// Takes a time.
    ///
    /// # Errors
    /// `invalid_request`: it is not of RFC 3339.
    pub fn time(&mut self, name: &str) -> Result<Option<OffsetDateTime>, Problem> {
        const RULE: &str = "a time of RFC 3339, like 2030-01-31T12:00:00Z";
        let Some(text) = self.optional::<String>(name, RULE)? else {
            return Ok(None);
        };
        let time = OffsetDateTime::parse(&text, &Rfc3339)
            .map_err(|_| Problem::invalid(self.path(name), RULE))?;
        // The last hours of the year 9999 have no time in UTC that can be written.
        time.checked_to_offset(time::UtcOffset::UTC)
            .map(Some)
            .ok_or_else(|| Problem::invalid(self.path(name), RULE))
    }

    /// The full name of a field, for an error that only its taker can find.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        if self.at.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.at)
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `invalid_request`: a field is there that nobody knows.
    pub fn finish(self) -> Result<(), Problem> {
        match self.fields.keys().next() {
            None => Ok(()),
            // The name is the caller's own word; a long one is cut, lest it be a value in the wrong place.
            Some(name) => Err(Problem::invalid(
                self.path(
                    &name
                        .chars()
                        .filter(|c| c.is_ascii_graphic())
                        .take(32)
                        .collect::<String>(),
                ),
                "no such field",
            )),
        }
    }
}

/// A time as the API writes it.
#[must_use]
pub fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

/// A body that is longer than its limit, in the API's words.
pub(crate) fn too_large(limit: usize) -> Problem {
    Problem::new(Code::TooLarge).because(format!("The body may have up to {limit} bytes."))
}

struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if fields.insert(name, value).is_some() {
                        return Err(de::Error::custom("a field twice"));
                    }
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_field_and_never_its_value() {
        let body = br#"{"outer":{"count":"hunter2"},"extra":1}"#;
        let mut fields = Fields::parse(body).unwrap();
        let mut outer = fields.object("outer").unwrap();
        let wrong = outer
            .required::<u32>("count", "a number")
            .unwrap_err()
            .document()
            .to_string();
        assert!(
            wrong.contains("outer.count") && !wrong.contains("hunter2"),
            "{wrong}"
        );
        let unknown = fields.finish().unwrap_err().document().to_string();
        assert!(unknown.contains("extra"), "{unknown}");
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for body in [
            "[]",
            "1",
            "{",
            "{}{}",
            r#"{"a":1,"a":2}"#,
            "\u{feff}{}",
            "null",
            "{\"a\":\"\u{0}\"}",
        ] {
            assert!(
                Fields::parse(body.as_bytes())
                    .and_then(|mut fields| fields.required::<String>("a", "text"))
                    .is_err(),
                "{body}"
            );
        }
        assert!(Fields::parse(b"").is_ok_and(|fields| fields.finish().is_ok()));
    }
}
