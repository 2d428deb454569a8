//! What requests must look like: Google's discovery document where `LYNK_FCM_DISCOVERY` names it, or the part of it that is written here.

use serde_json::{Value, json};

/// The schemas of a discovery document.
pub(crate) struct Schemas(Value);

impl Schemas {
    pub(crate) fn load() -> Self {
        let Some(path) = std::env::var_os("LYNK_FCM_DISCOVERY") else { return Self(written()) };
        let text = std::fs::read(path).expect("LYNK_FCM_DISCOVERY names a file");
        let document: Value = serde_json::from_slice(&text).expect("a discovery document");
        let send = &document["resources"]["projects"]["resources"]["messages"]["methods"]["send"];
        assert_eq!(
            (&send["httpMethod"], &send["path"]),
            (&json!("POST"), &json!("v1/{+parent}/messages:send"))
        );
        assert_eq!(send["request"]["$ref"], "SendMessageRequest");
        let scopes = send["scopes"].as_array().expect("scopes");
        assert!(scopes.contains(&json!("https://www.googleapis.com/auth/firebase.messaging")));
        Self(document["schemas"].clone())
    }

    /// Checks a value; says where it is wrong.
    pub(crate) fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        let schema = &self.0[name];
        if schema.is_null() {
            return Err(format!("there is no schema {name}"));
        }
        self.fits(schema, value, name)
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        if let Some(name) = schema["$ref"].as_str() {
            return self.check(name, value).map_err(|why| format!("{at}: {why}"));
        }
        let wrong = |what: &str| Err(format!("{at}: {value} is not {what}"));
        match schema["type"].as_str() {
            Some("object") => {
                let Some(fields) = value.as_object() else { return wrong("an object") };
                for (field, value) in fields {
                    let (own, any) = (&schema["properties"][field], &schema["additionalProperties"]);
                    let of = if own.is_null() { any } else { own };
                    if of.is_null() {
                        return Err(format!("{at} has no field {field}"));
                    }
                    self.fits(of, value, &format!("{at}.{field}"))?;
                }
                Ok(())
            }
            Some("array") => {
                let Some(items) = value.as_array() else { return wrong("an array") };
                items.iter().try_for_each(|item| self.fits(&schema["items"], item, at))
            }
            Some("string") => {
                let Some(text) = value.as_str() else { return wrong("a string") };
                let words = schema["enum"].as_array();
                let known = words.is_none_or(|words| words.iter().any(|word| word == text));
                let is_duration = || {
                    text.strip_suffix('s').is_some_and(|number| number.parse::<f64>().is_ok_and(|n| n >= 0.0))
                };
                match known && (schema["format"] != "google-duration" || is_duration()) {
                    true => Ok(()),
                    false => wrong("one of its values"),
                }
            }
            Some("integer") => match value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) {
                true => Ok(()),
                false => wrong("an integer"),
            },
            Some("boolean") if !value.is_boolean() => wrong("a boolean"),
            Some("boolean" | "any") => Ok(()),
            _ => wrong("of a known type"),
        }
    }
}

/// The part of the description that pushes use.
fn written() -> Value {
    let (string, any) = (json!({"type": "string"}), json!({"type": "any"}));
    let map = json!({"type": "object", "additionalProperties": string});
    let free = json!({"type": "object", "additionalProperties": any});
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    json!({
        "SendMessageRequest": object(json!({"message": {"$ref": "Message"}, "validateOnly": {"type": "boolean"}})),
        "Message": object(json!({
            "token": string, "topic": string, "condition": string, "name": string, "data": map,
            "android": {"$ref": "AndroidConfig"}, "apns": {"$ref": "ApnsConfig"}, "webpush": {"$ref": "WebpushConfig"},
        })),
        "AndroidConfig": object(json!({
            "collapseKey": string, "priority": {"type": "string", "enum": ["NORMAL", "HIGH"]},
            "ttl": {"type": "string", "format": "google-duration"}, "data": map,
            "notification": {"$ref": "AndroidNotification"},
        })),
        "AndroidNotification": object(json!({
            "title": string, "body": string, "tag": string, "notificationCount": {"type": "integer"},
            "notificationPriority": {"type": "string", "enum": ["PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH", "PRIORITY_MAX"]},
        })),
        "ApnsConfig": object(json!({"headers": map, "payload": free})),
        "WebpushConfig": object(json!({"headers": map, "data": map, "notification": free})),
    })
}

/// Rules of the provider that its description does not have.
pub(crate) fn rules(message: &Value) -> Result<(), String> {
    let targets = ["token", "topic", "condition"].iter().filter(|field| !message[**field].is_null()).count();
    if targets != 1 {
        return Err(format!("{targets} targets"));
    }
    for key in message["data"].as_object().into_iter().flatten().map(|(key, _)| key) {
        if ["from", "message_type"].contains(&key.as_str())
            || key.starts_with("google")
            || key.starts_with("gcm")
        {
            return Err(format!("{key} is a reserved key of data"));
        }
    }
    if message.to_string().len() > 4_096 {
        return Err("more than 4096 bytes".to_owned());
    }
    let is_key = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    // RFC 8030: at most 32 characters of base64's alphabet for URLs.
    let topic = message["webpush"]["headers"]["Topic"].as_str().unwrap_or_default();
    if topic.len() > 32 || !is_key(topic) {
        return Err(format!("{topic} is no Topic"));
    }
    let apns = &message["apns"];
    if apns["headers"]["apns-collapse-id"].as_str().is_some_and(|id| id.len() > 64) {
        return Err("apns-collapse-id is longer than 64 bytes".to_owned());
    }
    let of = |name: &str| apns["headers"][name].as_str().unwrap_or_default();
    let aps = &apns["payload"]["aps"];
    match of("apns-push-type") {
        "" if apns.is_null() => Ok(()),
        "background"
            if of("apns-priority") == "5" && aps["content-available"] == 1 && aps["alert"].is_null() =>
        {
            Ok(())
        }
        "alert" if !aps["alert"].is_null() => Ok(()),
        other => Err(format!("{other}: Apple refuses what these headers say of this payload")),
    }
}

#[test]
fn a_request_with_a_field_that_is_not_there_is_found() {
    let schemas = Schemas::load();
    let check = |value: Value| schemas.check("SendMessageRequest", &value);
    assert_eq!(
        check(json!({"message": {"token": "t", "android": {"collapseKey": "k", "ttl": "1s"}}})),
        Ok(())
    );
    for wrong in [
        json!({"message": {"tokens": "t"}}),
        json!({"message": {"token": 1}}),
        json!({"message": {"token": "t", "android": {"priority": "LOUD"}}}),
        json!({"message": {"token": "t", "android": {"ttl": "soon"}}}),
        json!({"message": {"token": "t", "data": {"n": 1}}}),
        json!({"message": {"token": "t", "android": {"notification": {"notificationCount": "1"}}}}),
    ] {
        assert!(check(wrong.clone()).is_err(), "{wrong}");
    }
    assert!(rules(&json!({"token": "t", "webpush": {"headers": {"Topic": "x".repeat(41)}}})).is_err());
    assert!(rules(&json!({"data": {}})).is_err());
}
