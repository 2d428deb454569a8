//! Frames against `docs/asyncapi.json`. A member that the document does not list is a mistake here: the document would be silent about it.

use std::sync::OnceLock;

use serde_json::Value;

use super::json_schema::check;

/// The document of the socket.
pub(crate) struct Contract(Value);

impl Contract {
    /// That of this build.
    pub(crate) fn get() -> &'static Self {
        static DOCUMENT: OnceLock<Contract> = OnceLock::new();
        DOCUMENT.get_or_init(|| {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/asyncapi.json");
            let text = std::fs::read_to_string(path).expect("docs/asyncapi.json: run `make docs`");
            Self(serde_json::from_str(&text).expect("JSON"))
        })
    }

    /// Names of all its messages: `command.send`, `answer.ok`, `event.message` …
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0["components"]["messages"].as_object().expect("messages").keys().map(String::as_str)
    }

    /// Which message a frame of the server is.
    pub(crate) fn frame(&self, frame: &Value) -> Result<&str, String> {
        let kind = if frame.get("re").is_some() { "answer." } else { "event." };
        self.one_of(self.names().filter(|name| name.starts_with(kind)), frame)
    }

    /// Which message the answer to a command is. A command that was not refused must be one, too.
    pub(crate) fn answer(&self, command: &Value, answer: &Value) -> Result<&str, String> {
        let op = command["op"].as_str().unwrap_or_default();
        let Some(messages) = self.0["operations"][op]["reply"]["messages"].as_array() else {
            return match answer["ev"] == "error" {
                true => self.one_of(["answer.error"].into_iter(), answer),
                false => Err(format!("docs/asyncapi.json does not know `{op}`, which was answered {answer}")),
            };
        };
        let names = messages.iter().filter_map(|message| message["$ref"].as_str()?.rsplit('/').next());
        let name = self.one_of(names, answer).map_err(|why| format!("{op}: {why}"))?;
        if name != "answer.error" {
            self.fits(&format!("command.{op}"), command)?;
        }
        Ok(name)
    }

    /// Checks a frame against the message of a name.
    pub(crate) fn fits(&self, name: &str, frame: &Value) -> Result<(), String> {
        let schema = &self.0["components"]["schemas"][name];
        if schema.is_null() {
            return Err(format!("docs/asyncapi.json has no {name}"));
        }
        check(&self.0, schema, frame, name)
    }

    /// That of these messages that a frame is; with what is wrong with it as each that has its `ev`.
    fn one_of<'n>(&self, names: impl Iterator<Item = &'n str>, frame: &Value) -> Result<&'n str, String> {
        let mut wrong = Vec::new();
        for name in names {
            if self.0["components"]["schemas"][name]["properties"]["ev"]["const"] != frame["ev"] {
                continue;
            }
            match self.fits(name, frame) {
                Ok(()) => return Ok(name),
                Err(why) => wrong.push(why),
            }
        }
        Err(format!("docs/asyncapi.json has no message like {frame}: {wrong:?}"))
    }
}
