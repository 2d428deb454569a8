//! The commands of the cuckoo filter, as they go over the wire.
//!
//! Thread: any. Pure. A filter that is not there answers "no" to every question, so a question also asks whether it is: only
//! both answers together say that a name does not exist. Names are never taken out of the filter: one that was never in it
//! would take another one's place with it.

use redis::{Cmd, Pipeline, Value, cmd, pipe};

/// Adds `name` to the filter `key`, which is made by that when it is not there. A name that may be there is not added again: each process adds
/// all names when it starts, and a filter has room for a name a few times only.
#[must_use]
pub fn add(key: &str, name: &str) -> Cmd {
    let mut command = cmd("CF.ADDNX");
    command.arg(key).arg(name);
    command
}

/// Asks for `name`, and for the filter, in one transaction.
#[must_use]
pub fn question(key: &str, name: &str) -> Pipeline {
    let mut question = pipe();
    question.atomic().cmd("CF.EXISTS").arg(key).arg(name).cmd("EXISTS").arg(key);
    question
}

/// What the answer to [`question`] says; `None` when it is none that a server gives.
#[must_use]
pub fn may_have(answer: &Value) -> Option<bool> {
    let Value::Array(both) = answer else { return None };
    let number = |value: &Value| match value {
        Value::Int(number) => Some(*number != 0),
        Value::Boolean(yes) => Some(*yes),
        _ => None,
    };
    match both.as_slice() {
        [found, there] => Some(number(found)? || !number(there)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_gone_says_maybe() {
        let answer = |found, there| may_have(&Value::Array(vec![Value::Int(found), Value::Int(there)]));
        assert_eq!(answer(0, 1), Some(false));
        assert_eq!(answer(1, 1), Some(true));
        assert_eq!(answer(0, 0), Some(true));
        assert_eq!(may_have(&Value::Nil), None);
    }

    #[test]
    fn commands_are_what_the_manual_says() {
        assert_eq!(
            add("lynk:names", "a b").get_packed_command(),
            b"*3\r\n$8\r\nCF.ADDNX\r\n$10\r\nlynk:names\r\n$3\r\na b\r\n"
        );
        let packed = question("lynk:names", "a").get_packed_pipeline();
        let text = String::from_utf8(packed).expect("text");
        assert!(
            text.contains("*3\r\n$9\r\nCF.EXISTS\r\n$10\r\nlynk:names\r\n$1\r\na\r\n*2\r\n$6\r\nEXISTS\r\n"),
            "{text}"
        );
    }
}
