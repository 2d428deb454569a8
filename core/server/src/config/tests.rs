use super::*;

fn from(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let own = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
    };
    let sources =
        Sources { file: Some("lynk.toml".into()), environment: own(environment), flags: own(flags) };
    load_text(&sources, Some(text))
}

fn problems(text: &str) -> String {
    from(text, &[], &[]).expect_err("must be refused").to_string()
}

#[test]
fn nothing_configured_is_the_default() {
    assert_eq!(from("", &[], &[]).expect("valid").config, Config::default());
}

#[test]
fn flags_win_over_environment_over_file() {
    let text = "[limits]\nheartbeat = \"10s\"\nhello_max = \"3s\"\n[shards]\ncount = 2\n";
    let env = [("LYNK__LIMITS__HEARTBEAT", "20s"), ("LYNK__SHARDS__COUNT", "3"), ("PATH", "/bin")];
    let loaded = from(text, &env, &[("shards.count", "4")]).expect("valid");
    assert_eq!(loaded.config.limits.hello_millis_max, 3_000);
    assert_eq!(loaded.config.limits.heartbeat_millis, 20_000);
    assert_eq!(loaded.config.shard_count, 4);
    let origin = |path: &str| &loaded.origins[KEYS.iter().position(|k| k.path == path).expect("key")];
    assert_eq!(*origin("limits.hello_max"), Origin::File(3));
    assert_eq!(*origin("limits.heartbeat"), Origin::Environment("LYNK__LIMITS__HEARTBEAT".to_owned()));
    assert_eq!(*origin("shards.count"), Origin::Flag);
    assert_eq!(*origin("data.dir"), Origin::Default);
}

#[test]
fn unknown_keys_are_errors_with_line_and_suggestion() {
    let text =
        problems("[limits]\nframe_bytes = \"1KiB\"\n\n[shard]\ncount = 1\n\n[listen]\nheartbeat = \"1s\"\n");
    assert!(
        text.contains(
            "lynk.toml line 2: there is no key `limits.frame_bytes`; did you mean `limits.frame_bytes_max`?"
        ),
        "{text}"
    );
    assert!(
        text.contains("lynk.toml line 4: there is no section `[shard]`; did you mean `[shards]`?"),
        "{text}"
    );
    assert!(
        text.contains(
            "lynk.toml line 8: there is no key `listen.heartbeat`; did you mean `limits.heartbeat`?"
        ),
        "{text}"
    );
    let environment = from("", &[("LYNK__LOG__LEVLE", "info")], &[]).expect_err("refused").to_string();
    assert!(
        environment
            .contains("environment LYNK__LOG__LEVLE: there is no key `log.levle`; did you mean `log.level`?")
    );
    let flag = from("", &[], &[("zzz", "1")]).expect_err("refused").to_string();
    assert!(flag.contains("command line: there is no key `zzz`; `lynk config default` lists all"), "{flag}");
}

#[test]
fn bad_values_say_what_they_must_be() {
    for (text, expected) in [
        ("[limits]\nheartbeat = 25", "line 2: `limits.heartbeat` must be a duration such as \"250ms\""),
        ("[limits]\nheartbeat = \"1ms\"", "must be from 1s to 1h, not \"1ms\""),
        ("[limits]\nframe_bytes_max = \"64KB\"", "must be a size such as \"64KiB\", not \"64KB\""),
        ("[limits]\nmessage_chars_max = \"many\"", "must be a whole number"),
        ("[limits]\nmessage_chars_max = 1.5", "must be a text, a whole decimal number, true or false"),
        ("[shards]\nbackend = \"kqueue\"", "must be one of auto, io_uring, epoll, not \"kqueue\""),
        ("[listen]\naddress = \"7777\"", "must be an address and a port such as \"127.0.0.1:7777\""),
        ("[admin]\nenabled = \"yes\"", "must be true or false"),
        ("[listen]\naddress = {}", "is not a section"),
        ("[listen]\norigins = [1]", "must be a list of texts"),
        ("[limits]\ncommands_in_flight_max = 256", "must be from 1 to 255"),
        ("[listen]\ntrusted_proxies = [\"10.0.0.1/8\"]", "addresses or networks such as \"10.0.0.0/8\""),
        ("[codes]\nprices = [\"Germany=1\"]", "countries with a price each, such as \"DE=0.0950\""),
        ("[codes]\nprices = [\"DE=0.12345\"]", "not \"DE=0.12345\""),
        ("[codes]\nspend_day = 5.5", "must be a text"),
        ("[listen\n", "lynk.toml line 1: "),
        ("[shards]\ncount = 1\ncount = 2", "line 3: "),
    ] {
        let found = problems(text);
        assert!(found.contains(expected), "{text:?} gave {found:?}");
    }
}

#[test]
fn relations_between_keys_are_checked() {
    for (text, expected) in [
        ("[limits]\nsend_queue_bytes_low = \"1MiB\"", "send_queue_bytes_low must be below"),
        ("[admin]\naddress = \"127.0.0.1:7777\"", "give it a port of its own"),
        ("[push]\nprovider = \"fcm\"", "push.fcm_account_file"),
        ("[push]\nretry_max = \"1s\"", "must not be less than push.retry_min"),
        ("[push]\nrun = \"separate\"", "`separate` needs stores that another process can reach"),
        ("[rooms]\ndefault_level = \"replicated\"", "`replicated` needs an outside message store"),
        ("[codes]\nper_number_day = 10", "must not exceed 50: guessing would succeed too often"),
        ("[codes]\nmessages_hour = 3000", "messages_hour must not exceed messages_day"),
        ("[codes]\ncountries = [\"Germany\"]", "is not a country of two letters such as \"DE\""),
        ("[codes]\nspend_day = \"5\"", "spend_day needs a price above 0"),
        ("[codes]\nprice = \"0.1\"\nprices = [\"AQ=6\"]\nspend_day = \"5\"", "would never be sent"),
        ("[sms]\nprovider = \"twilio\"", "twilio.account_sid: is needed"),
        ("[media]\nstore = \"s3\"", "s3.endpoint: is needed with media.store `s3`"),
        (
            "[media]\nstore = \"s3\"\n[s3]\nendpoint = \"https://s3.example/files\"",
            "s3.endpoint: must end with its host or port",
        ),
        (
            "[media]\nstore = \"s3\"\n[s3]\npresigned_reads = \"1m\"\npublic_endpoint = \"files.example\"",
            "s3.public_endpoint: must begin with https:// and a host",
        ),
        (
            "[media]\nstore = \"s3\"\nstaging_bytes_max = \"100MiB\"",
            "media.staging_bytes_max: must be at least media.video_bytes_max, which is 536870912",
        ),
        ("[media]\nstore = \"s3\"\n[s3]\nprefix = \"lynk\"", "s3.prefix: must be empty or end with a slash"),
        (
            "[media]\nstore = \"s3\"\n[s3]\npresigned_reads = \"1ms\"",
            "s3.presigned_reads: must be 0 or at least 1s",
        ),
        (
            "[media]\nstore = \"s3\"\n[s3]\npublic_endpoint = \"https://files.example\"",
            "s3.public_endpoint: is where readers are sent on to",
        ),
        (
            "[media]\nstore = \"s3\"\n[s3]\nencryption = \"kms\"",
            "s3.encryption: must be bucket, aes256, or kms:",
        ),
        (
            "[sms]\nprovider = \"twilio\"\n[twilio]\npublic_url = \"https://a.example\"",
            "twilio.auth_token_file: is needed",
        ),
        ("[sessions]\nrefresh_idle = \"200d\"", "refresh_idle must not exceed refresh_life"),
        ("[listen]\naddress = \"0.0.0.0:7777\"", "sms.provider: `console` shows codes on this machine"),
        ("[listen]\npath = \"chat\"", "listen.path: must begin with a slash"),
        ("[listen]\npath = \"/a?b\"", "neither `?`"),
        ("[listen]\norigins = [\"https://a.example/\"]", "use \"https://a.example\""),
        ("[journal]\nsegment_bytes = \"1GiB\"\ndisk_bytes_max = \"4GiB\"", "at least 8 segments"),
    ] {
        let found = problems(text);
        assert!(found.contains(expected), "{text:?} gave {found:?}");
    }
}

#[test]
fn others_may_connect_when_no_codes_are_shown() {
    for text in [
        "[listen]\naddress = \"0.0.0.0:7777\"\n[sms]\nprovider = \"none\"\n",
        "[listen]\naddress = \"[::1]:7777\"\n",
        "[listen]\naddress = \"127.9.9.9:7777\"\n",
    ] {
        assert!(from(text, &[], &[]).is_ok(), "{text}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    assert_eq!(problems("[listen]\na = 1\nb = 2\npath = \"\"\n").lines().count(), 3);
}

#[test]
fn the_default_file_is_valid_with_and_without_its_comments() {
    let text = default_toml();
    assert_eq!(from(&text, &[], &[]).expect("valid").config, Config::default());
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let loaded = from(&uncommented, &[], &[]).expect("valid");
    assert_eq!(loaded.config, Config::default());
    assert!(
        loaded.origins.iter().all(|origin| matches!(origin, Origin::File(_))),
        "every key is in the file"
    );
}

#[test]
fn every_limit_has_a_key_and_every_key_its_own_field() {
    // Debug lists the fields; there is no other way to count them.
    let fields = format!("{:#?}", Limits::default()).lines().count() - 2;
    assert_eq!(KEYS.iter().filter(|key| key.path.starts_with("limits.")).count(), fields);
    for key in KEYS {
        let mut config = Config::default();
        let before = config.clone();
        let other = [
            "1",
            "2",
            "1KiB",
            "100",
            "5000",
            "2s",
            "5m",
            "2MiB",
            "32MiB",
            "64KiB",
            "memory",
            "epoll",
            "off",
            "warn",
            "text",
            "false",
            "true",
            "127.0.0.1:9",
            "10.0.0.0/8",
            "DE=0.1",
            "postgres",
            "cassandra",
            "redis",
            "s3",
            "kafka",
            "binary",
            "none",
            "file",
            "separate",
            "fcm",
            "1h",
        ];
        let set = other.iter().any(|text| key.set(&mut config, text).is_ok() && config != before);
        assert!(set, "{}", key.path);
        assert_eq!(changed(&before, &config).iter().map(|k| k.path).collect::<Vec<_>>(), [key.path]);
    }
}

#[test]
fn keys_are_grouped_and_named_alike() {
    let mut seen: Vec<&str> = Vec::new();
    for key in KEYS {
        let (section, name) = key.path.split_once('.').expect("section.name");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", key.path);
        if seen.last() != Some(&section) {
            assert!(!seen.contains(&section), "section {section} is split");
            seen.push(section);
        }
        assert!(key.effect.ends_with('.'), "{}", key.path);
    }
}
