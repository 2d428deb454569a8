//! The part of JSON Schema that the documents of this project use, strict where readers are not.
//!
//! Readers pass over members that they do not know; here a member that a schema with members does not list is a mistake. A keyword that is not known
//! here is a mistake, too: it would be passed over.

use serde_json::{Map, Value};

/// Checks a value against a schema, whose references are places in the document; says what is wrong and where.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    check_among(document, schema, value, at, &[])
}

/// [`check`] of a schema that is one part of several, which list these members besides.
fn check_among(
    document: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
    also: &[&str],
) -> Result<(), String> {
    let schema = schema.as_object().ok_or_else(|| format!("{at}: {schema} is no schema"))?;
    let branches = ["oneOf", "anyOf"].iter().filter_map(|name| schema.get(*name)?.as_array()).flatten();
    let parts = branches.filter_map(|part| part.get("properties")).chain(schema.get("properties"));
    let listed = parts.filter_map(Value::as_object).flat_map(|members| members.keys().map(String::as_str));
    let among: Vec<&str> = also.iter().copied().chain(listed).collect();
    for (keyword, says) in schema {
        let holds = match keyword.as_str() {
            "$ref" => {
                let place = says.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference");
                let target = document.pointer(place).unwrap_or_else(|| panic!("{at}: {says} is not there"));
                check_among(document, target, value, at, also)?;
                true
            }
            "$defs" | "$schema" | "description" | "title" => true,
            "type" => match says {
                Value::Array(types) => types.iter().any(|name| is_a(name, value)),
                name => is_a(name, value),
            },
            "const" => says == value,
            "enum" => says.as_array().is_some_and(|words| words.contains(value)),
            "minimum" => {
                value.as_f64().is_none_or(|number| says.as_f64().is_some_and(|least| number >= least))
            }
            "maximum" => value.as_f64().is_none_or(|number| says.as_f64().is_some_and(|most| number <= most)),
            "format" => value.as_str().is_none_or(|text| has_format(says, text)),
            "pattern" => value.as_str().is_none_or(|text| has_pattern(says, text)),
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                for (n, item) in items {
                    check(document, says, item, &format!("{at}[{n}]"))?;
                }
                true
            }
            "required" => value.as_object().is_none_or(|members| {
                says.as_array()
                    .expect("names")
                    .iter()
                    .all(|name| members.contains_key(name.as_str().expect("a name")))
            }),
            "properties" => {
                let any = schema.get("additionalProperties");
                members(document, says.as_object().expect("schemas"), any, value, at, &among)?;
                true
            }
            // Without named members; with them it is read beside.
            "additionalProperties" => {
                if !schema.contains_key("properties") {
                    members(document, &Map::new(), Some(says), value, at, &among)?;
                }
                true
            }
            "dependencies" => says.as_object().expect("lists").iter().all(|(first, others)| {
                let others = others.as_array().expect("names");
                value.get(first).is_none()
                    || others.iter().all(|other| value.get(other.as_str().expect("a name")).is_some())
            }),
            "anyOf" => count(document, says, value, at, &among) > 0,
            "oneOf" => count(document, says, value, at, &among) == 1,
            "not" => check(document, says, value, at).is_err(),
            other => panic!("{at}: nothing here reads the keyword {other}"),
        };
        if !holds {
            return Err(format!("{at}: {value} against {keyword} {says}"));
        }
    }
    Ok(())
}

fn count(document: &Value, schemas: &Value, value: &Value, at: &str, among: &[&str]) -> usize {
    let holds = |schema: &&Value| check_among(document, schema, value, at, among).is_ok();
    schemas.as_array().expect("schemas").iter().filter(holds).count()
}

fn members(
    document: &Value,
    named: &Map<String, Value>,
    any: Option<&Value>,
    value: &Value,
    at: &str,
    among: &[&str],
) -> Result<(), String> {
    for (name, member) in value.as_object().into_iter().flatten() {
        match named.get(name).or(any) {
            Some(schema) => check(document, schema, member, &format!("{at}.{name}"))?,
            None if among.contains(&name.as_str()) => {}
            None => return Err(format!("{at} has a member `{name}`, of which the document says nothing")),
        }
    }
    Ok(())
}

fn is_a(name: &Value, value: &Value) -> bool {
    match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("null") => value.is_null(),
        _ => panic!("nothing here reads the type {name}"),
    }
}

fn has_format(format: &Value, text: &str) -> bool {
    match format.as_str() {
        Some("uuid") => looks_like(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
        // In UTC with milliseconds as the server writes it, or as short as a client may.
        Some("date-time") => ["Z", ".nnnZ", "+nn:nn", "-nn:nn", ".nnn+nn:nn", ".nnn-nn:nn"]
            .iter()
            .any(|end| looks_like(text, &format!("nnnn-nn-nnTnn:nn:nn{end}"))),
        _ => panic!("nothing here reads the format {format}"),
    }
}

/// The one form of patterns that documents have: so many hexadecimal digits.
fn has_pattern(pattern: &Value, text: &str) -> bool {
    let digits = pattern.as_str().and_then(|text| text.strip_prefix("^[0-9a-fA-F]{")?.strip_suffix("}$"));
    let digits: usize = digits.and_then(|digits| digits.parse().ok()).expect("a pattern that is known here");
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A text of the form of a pattern, in which `n` is a digit and `x` a hexadecimal one.
fn looks_like(text: &str, pattern: &str) -> bool {
    let fits = |(byte, form): (u8, u8)| match form {
        b'n' => byte.is_ascii_digit(),
        b'x' => byte.is_ascii_hexdigit(),
        other => byte == other,
    };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(fits)
}
