//! What a line of the terminal asks for.

/// A line, understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// Nothing.
    Empty,
    /// Post to the current room.
    Say(String),
    /// Join a room by name or id, creating it if there is none of that name.
    Join(String),
    /// Talk to one person.
    Direct(String),
    /// Leave the current room.
    Leave,
    /// Decline the current conversation, which a stranger began.
    Decline,
    /// Show the past.
    History(u32),
    /// Who is here.
    Who,
    /// The members.
    Members,
    /// One's rooms.
    Rooms,
    /// Tell that one is typing.
    Typing,
    /// Change a message.
    Edit(u64, String),
    /// Delete a message.
    Delete(u64),
    /// React to a message.
    React(u64, String),
    /// Remove, ban … a member: the op and who.
    Moderate(&'static str, String),
    /// Change a member's role: who and which.
    Role(String, String),
    /// What one can type.
    Help,
    /// The end.
    Quit,
}

/// What `/help` prints.
pub(crate) const HELP: &str = "\
text             say it in the current room
/join ROOM       enter a room by name (made if it does not exist) or id, and talk there
/direct USER     talk to one person; it also accepts what a stranger began
/decline         decline what a stranger began
/leave           leave the current room
/history [N]     show the last N messages
/who             who is here
/members         who belongs to the room
/rooms           your rooms
/typing          tell others that you are typing
/edit SEQ TEXT   change your message
/delete SEQ      delete a message
/react SEQ EMOJI react to a message
/kick USER · /ban USER · /unban USER · /mute USER · /unmute USER
/block USER · /unblock USER · /invite USER · /role USER ROLE
/quit            leave the program
";

const MODERATION: [&str; 8] = ["kick", "ban", "unban", "mute", "unmute", "block", "unblock", "invite"];

/// Understands a line.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn parse(line: &str) -> Result<Line, String> {
    let line = line.trim_end_matches(['\r', '\n']);
    let Some(command) = line.strip_prefix('/') else {
        return Ok(if line.trim().is_empty() { Line::Empty } else { Line::Say(line.to_owned()) });
    };
    // Two slashes say a text that begins with one.
    if command.starts_with('/') {
        return Ok(Line::Say(command.to_owned()));
    }
    let (word, rest) = command.split_once(' ').map_or((command, ""), |(word, rest)| (word, rest.trim()));
    let some = |what: &str| {
        if rest.is_empty() { Err(format!("/{word} needs {what}")) } else { Ok(rest.to_owned()) }
    };
    let seq_and = |what: &str| {
        let (seq, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let seq = seq.parse::<u64>().map_err(|_| format!("/{word} needs the number of a message{what}"))?;
        Ok::<_, String>((seq, text.trim().to_owned()))
    };
    Ok(match word {
        "join" | "j" => Line::Join(some("the name or id of a room")?),
        "direct" | "d" | "msg" => Line::Direct(some("a user")?),
        "leave" => Line::Leave,
        "decline" => Line::Decline,
        "history" if rest.is_empty() => Line::History(20),
        "history" => Line::History(rest.parse().map_err(|_| "/history takes a number".to_owned())?),
        "who" => Line::Who,
        "members" => Line::Members,
        "rooms" => Line::Rooms,
        "typing" => Line::Typing,
        "edit" => match seq_and(" and the new text")? {
            (_, text) if text.is_empty() => return Err("/edit needs the new text".to_owned()),
            (seq, text) => Line::Edit(seq, text),
        },
        "delete" => Line::Delete(seq_and("")?.0),
        "react" => match seq_and(" and an emoji")? {
            (_, emoji) if emoji.is_empty() => return Err("/react needs an emoji".to_owned()),
            (seq, emoji) => Line::React(seq, emoji),
        },
        "role" => match rest.split_once(' ') {
            Some((user, role)) => Line::Role(user.to_owned(), role.trim().to_owned()),
            None => return Err("/role needs a user and member, moderator or admin".to_owned()),
        },
        "help" | "?" => Line::Help,
        "quit" | "q" | "exit" => Line::Quit,
        _ => match MODERATION.iter().find(|op| **op == word) {
            Some(op) => Line::Moderate(op, some("a user")?),
            None => return Err(format!("there is no /{word}; /help lists what there is")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_what_help_says() {
        assert_eq!(parse("hello /join\n"), Ok(Line::Say("hello /join".to_owned())));
        assert_eq!(parse("//join"), Ok(Line::Say("/join".to_owned())));
        assert_eq!(parse("  \r\n"), Ok(Line::Empty));
        assert_eq!(parse("/join the lobby"), Ok(Line::Join("the lobby".to_owned())));
        assert_eq!(parse("/history"), Ok(Line::History(20)));
        assert_eq!(parse("/decline"), Ok(Line::Decline));
        assert_eq!(parse("/edit 7 two words"), Ok(Line::Edit(7, "two words".to_owned())));
        assert_eq!(parse("/ban bob"), Ok(Line::Moderate("ban", "bob".to_owned())));
        assert_eq!(parse("/role bob admin"), Ok(Line::Role("bob".to_owned(), "admin".to_owned())));
        for bad in
            ["/join", "/edit x y", "/edit 7", "/react 7", "/role bob", "/kick", "/nonsense", "/history x"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for op in MODERATION {
            assert!(HELP.contains(&format!("/{op}")), "{op}");
        }
    }
}
