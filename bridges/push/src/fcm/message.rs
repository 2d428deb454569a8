//! The body of a push: ids and numbers, and the fields by which a later one takes an earlier one's place.
//!
//! Pure. One key stands for a room: Android's `collapse_key`, Apple's `apns-collapse-id`, the `Topic` of web push, which may have 32
//! characters of base64's alphabet for URLs, and the tag under which a device shows it. It is the room's id in that alphabet, 22 characters.
//! Firebase keeps at most four keys for a device that is away; which of more rooms it keeps it does not say, and the badge counts all.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lynk_domain::{Millis, RoomId};
use lynk_model::notify::Platform;
use lynk_model::port::PushNote;
use serde_json::{Value, json};

/// The key of a room.
pub(super) fn collapse_key(room: RoomId) -> String {
    URL_SAFE_NO_PAD.encode(room.0)
}

/// The request's body.
pub(super) fn build(note: &PushNote, ttl_seconds: u64, wall: Millis) -> String {
    let (push, key) = (&note.push, collapse_key(note.push.room));
    let data = match note.trial {
        true => json!({"type": "test"}),
        false => json!({
            "type": "message",
            "room": push.room.to_string(),
            "message": push.message.to_string(),
            "seq": push.upto.0.to_string(),
            "messages": push.messages.to_string(),
            "mention": if push.mention { "1" } else { "0" },
            "unread": note.unread.to_string(),
            "badge": note.badge.to_string(),
            "request": if note.request { "1" } else { "0" },
        }),
    };
    let mut message = json!({"token": note.device.token.reveal(), "data": data});
    let title = match (note.trial, push.messages) {
        (true, _) => "Notifications work".to_owned(),
        (false, _) if note.request => "New message request".to_owned(),
        (false, 1) => "New message".to_owned(),
        (false, count) => format!("{count} new messages"),
    };
    let (name, of_platform) = match note.device.platform {
        Platform::Android => ("android", android(note, &key, &title, ttl_seconds)),
        Platform::Ios => ("apns", apns(note, &key, &title, ttl_seconds, wall)),
        Platform::Web => ("webpush", webpush(note, &key, &title, ttl_seconds)),
    };
    message[name] = of_platform;
    json!({"message": message}).to_string()
}

fn android(note: &PushNote, key: &str, title: &str, ttl_seconds: u64) -> Value {
    let priority = if note.request { "NORMAL" } else { "HIGH" };
    let mut android = json!({"collapse_key": key, "priority": priority, "ttl": format!("{ttl_seconds}s")});
    if note.request && !note.device.id_only {
        android["notification"] =
            json!({"title": title, "tag": key, "notification_priority": "PRIORITY_LOW"});
    } else if !note.device.id_only {
        let count = u32::try_from(note.unread).unwrap_or(u32::MAX).min(i32::MAX as u32);
        android["notification"] = json!({"title": title, "tag": key, "notification_count": count});
    }
    android
}

fn apns(note: &PushNote, key: &str, title: &str, ttl_seconds: u64, wall: Millis) -> Value {
    let expires = (wall.0 / 1_000).saturating_add(ttl_seconds).to_string();
    let mut headers = json!({"apns-collapse-id": key, "apns-expiration": expires});
    let mut aps = json!({"badge": note.badge, "thread-id": key});
    if note.device.id_only {
        // Apple wakes an app that shows nothing only with this priority.
        headers["apns-push-type"] = "background".into();
        headers["apns-priority"] = "5".into();
        aps["content-available"] = 1.into();
    } else {
        headers["apns-push-type"] = "alert".into();
        headers["apns-priority"] = "10".into();
        aps["alert"] = json!({"title": title});
        if note.request {
            // It is listed, and neither lights the screen nor sounds.
            aps["interruption-level"] = "passive".into();
        } else {
            aps["sound"] = "default".into();
        }
        aps["mutable-content"] = 1.into();
    }
    json!({"headers": headers, "payload": {"aps": aps}})
}

fn webpush(note: &PushNote, key: &str, title: &str, ttl_seconds: u64) -> Value {
    let urgency = if note.request { "normal" } else { "high" };
    let mut webpush = json!({"headers": {"TTL": ttl_seconds.to_string(), "Urgency": urgency, "Topic": key}});
    if !note.device.id_only {
        webpush["notification"] = match note.request {
            true => json!({"title": title, "tag": key, "silent": true}),
            false => json!({"title": title, "tag": key, "renotify": true}),
        };
    }
    webpush
}

#[cfg(test)]
mod tests {
    use lynk_domain::{MessageId, Seq, SessionId, UserId};
    use lynk_model::notify::{Device, Provider, Push, PushCause, PushId, PushState, PushToken};

    use super::*;

    pub(crate) fn note(platform: Platform, id_only: bool) -> PushNote {
        let push = Push {
            id: PushId([1; 16]),
            user: UserId([2; 16]),
            room: RoomId([0xfb; 16]),
            session: SessionId([3; 16]),
            from: Seq(4),
            upto: Seq(9),
            message: MessageId([5; 16]),
            messages: 3,
            mention: true,
            state: PushState::Claimed,
            cause: PushCause::None,
            dropped: None,
            attempts: 1,
            at: Millis(1),
            next: Millis(0),
            told: false,
        };
        let device = Device {
            session: push.session,
            user: push.user,
            provider: Provider::Fcm,
            token: PushToken::parse("the-token").expect("a token"),
            platform,
            id_only,
            created: Millis(1),
            last_ok: None,
        };
        PushNote { push, device, badge: 7, unread: 3, request: false, trial: false }
    }

    fn built(platform: Platform, id_only: bool) -> Value {
        serde_json::from_str(&build(&note(platform, id_only), 86_400, Millis(1_000_000))).expect("JSON")
    }

    #[test]
    fn a_rooms_key_is_what_every_platform_takes() {
        let key = collapse_key(RoomId([0xff; 16]));
        assert_eq!(key.len(), 22);
        assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{key}");
        assert_ne!(key, collapse_key(RoomId([0xfe; 16])));
        assert_eq!(
            built(Platform::Android, true)["message"]["android"]["collapse_key"],
            collapse_key(RoomId([0xfb; 16]))
        );
        assert_eq!(
            built(Platform::Ios, true)["message"]["apns"]["headers"]["apns-collapse-id"],
            collapse_key(RoomId([0xfb; 16]))
        );
        assert_eq!(
            built(Platform::Web, true)["message"]["webpush"]["headers"]["Topic"],
            collapse_key(RoomId([0xfb; 16]))
        );
    }

    #[test]
    fn a_strangers_request_makes_no_sound() {
        let built = |platform| {
            let note = PushNote { request: true, ..note(platform, false) };
            serde_json::from_str::<Value>(&build(&note, 60, Millis(0))).expect("JSON")["message"].clone()
        };
        let title = "New message request";
        let android = built(Platform::Android);
        assert_eq!(android["data"]["request"], "1");
        assert_eq!(android["android"]["notification"]["title"], title);
        assert_eq!(android["android"]["notification"]["notification_priority"], "PRIORITY_LOW");
        let aps = &built(Platform::Ios)["apns"]["payload"]["aps"];
        assert_eq!((&aps["alert"]["title"], &aps["interruption-level"]), (&json!(title), &json!("passive")));
        assert_eq!(aps["sound"], Value::Null);
        let web = &built(Platform::Web)["webpush"]["notification"];
        assert_eq!((&web["title"], &web["silent"]), (&json!(title), &json!(true)));
    }

    #[test]
    fn ids_alone_are_told_and_the_badge_is_what_is_unread() {
        for platform in Platform::ALL {
            let message = built(*platform, true)["message"].clone();
            assert_eq!(message["token"], "the-token");
            assert!(message["data"].as_object().expect("data").values().all(Value::is_string), "{message}");
            assert_eq!((&message["data"]["badge"], &message["data"]["seq"]), (&json!("7"), &json!("9")));
            let text = message.to_string();
            assert!(
                !text.contains("title") && !text.contains("alert") && !text.contains("notification\""),
                "{text}"
            );
        }
        let aps = built(Platform::Ios, true)["message"]["apns"]["payload"]["aps"].clone();
        assert_eq!((&aps["badge"], &aps["content-available"]), (&json!(7), &json!(1)));
        let shown = built(Platform::Android, false)["message"]["android"]["notification"].clone();
        assert_eq!(shown["title"], "3 new messages");
        assert_eq!(built(Platform::Ios, false)["message"]["apns"]["headers"]["apns-expiration"], "87400");
    }
}
