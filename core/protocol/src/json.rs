//! A small JSON writer: appends to a byte buffer, keeps track of commas, escapes text.

use lynk_domain::Millis;

/// Writes one JSON object or array into a buffer. The caller balances `open` and `close`.
pub struct Json<'a> {
    out: &'a mut Vec<u8>,
    comma: bool,
}

impl<'a> Json<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, comma: false }
    }

    /// A writer that continues inside an object that already has fields.
    pub fn resume(out: &'a mut Vec<u8>) -> Self {
        Self { out, comma: true }
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    /// `{` or `[`, as a value.
    pub fn open(&mut self, bracket: u8) -> &mut Self {
        self.separate();
        self.out.push(bracket);
        self.comma = false;
        self
    }

    /// `}` or `]`.
    pub fn close(&mut self, bracket: u8) -> &mut Self {
        self.out.push(bracket);
        self.comma = true;
        self
    }

    /// `"name":`; the next call writes its value.
    pub fn key(&mut self, name: &str) -> &mut Self {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.comma = false;
        self
    }

    /// A number as a value.
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.separate();
        write_u64(self.out, value);
        self
    }

    /// A text as a value.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.separate();
        write_text(self.out, value);
        self
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.separate();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// An id as a value.
    pub fn id(&mut self, id: &[u8; 16]) -> &mut Self {
        self.separate();
        write_id(self.out, id);
        self
    }

    /// A time as a value, RFC 3339 in UTC with milliseconds.
    pub fn time(&mut self, at: Millis) -> &mut Self {
        self.separate();
        self.out.push(b'"');
        crate::encode::write_time(self.out, at);
        self.out.push(b'"');
        self
    }

    /// Finished JSON as a value.
    pub fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.separate();
        self.out.extend_from_slice(json);
        self
    }

    /// Length of the buffer so far, for cutting a list by bytes.
    #[must_use]
    pub fn written(&self) -> usize {
        self.out.len()
    }

    /// The buffer itself, for an encoder that appends whole fields, each with its comma.
    #[must_use]
    pub fn next_part(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// The buffer itself, for an encoder that appends one whole value after [`Self::next_value`].
    pub fn next_value(&mut self) -> &mut Vec<u8> {
        self.separate();
        self.out
    }
}

pub(crate) fn write_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

pub(crate) fn write_id(out: &mut Vec<u8>, id: &[u8; 16]) {
    let mut buffer = [0; 36];
    out.push(b'"');
    out.extend_from_slice(lynk_domain::RoomId(*id).write_text(&mut buffer).as_bytes());
    out.push(b'"');
}

/// Bytes that [`plain_run`] looks at together.
const BLOCK_BYTES: usize = 32;

fn must_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// How many bytes at the beginning need no escape. Blocks are looked at as a whole, without a branch for each byte, so that the compiler makes
/// vectors of it: text is most of what a message is written from.
fn plain_run(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
    let is_plain =
        |block: &&[u8; BLOCK_BYTES]| !block.iter().fold(false, |found, byte| found | must_escape(*byte));
    let run = blocks.iter().take_while(is_plain).count() * BLOCK_BYTES;
    run + bytes[run..].iter().take_while(|byte| !must_escape(**byte)).count()
}

/// Appends `value` as a JSON string. Runs of bytes that need no escape are copied whole.
pub(crate) fn write_text(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    let mut rest = value.as_bytes();
    loop {
        let (plain, more) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        let Some((byte, after)) = more.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(other >> 4)]);
                out.push(HEX[usize::from(other & 15)]);
            }
        }
        rest = after;
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_survives_wherever_in_a_block_its_escapes_are() {
        for length in [0, 1, 31, 32, 33, 64, 95] {
            for at in 0..=length {
                for odd in ["", "\"", "\\", "\u{1}", "\n\"", "\u{e9}"] {
                    let text = format!("{}{odd}{}", "x".repeat(at), "y".repeat(length - at));
                    let mut out = Vec::new();
                    write_text(&mut out, &text);
                    assert_eq!(serde_json::from_slice::<String>(&out).expect("valid JSON"), text);
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back_by_a_json_parser() {
        let text: String = (0..0x300u32).filter_map(char::from_u32).chain("\u{1F600}\"\\".chars()).collect();
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.open(b'{').key("text").text(&text).key("n").number(u64::MAX).key("list").open(b'[');
        json.number(0).bool(true).close(b']').key("end").bool(false).close(b'}');
        let value: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
        assert_eq!(value["text"], text);
        assert_eq!(value["n"], u64::MAX);
        assert_eq!(value["list"], serde_json::json!([0, true]));
        assert_eq!(value["end"], false);
    }
}
