//! `lynk certs` and `lynk init`, whose work is judged by OpenSSL's command.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::LYNK;

struct Directory {
    _temp: tempfile::TempDir,
    root: PathBuf,
}

impl Directory {
    fn new() -> Self {
        let temp = tempfile::tempdir().expect("temporary directory");
        let root = temp.path().join("credentials");
        Self { _temp: temp, root }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(LYNK).args(arguments).arg("--dir").arg(&self.root).output().expect("lynk can be started")
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn bad(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        told
    }

    fn list(&self) -> Vec<Value> {
        let told: Value = serde_json::from_str(&self.good(&["certs", "list", "-o", "json"])).expect("JSON");
        told["certificates"].as_array().expect("rows").clone()
    }

    fn row(&self, name: &str) -> Value {
        self.list().into_iter().find(|row| row["name"] == name).expect("listed")
    }

    fn path(&self, name: &str) -> String {
        self.root.join(name).to_str().expect("Unicode").to_owned()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.root.join(name)).expect("readable")
    }

    /// What OpenSSL says of a certificate: whether it is good for `purpose`, and its words.
    fn verify(&self, name: &str, options: &[&str]) -> (bool, String) {
        let (ca, certificate) = (self.path("ca.crt"), self.path(&format!("{name}.crt")));
        let fixed = ["verify", "-x509_strict", "-check_ss_sig", "-CAfile", &ca];
        openssl(&[&fixed, options, &[certificate.as_str()]].concat())
    }
}

fn openssl(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    let words = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

/// Of a program that was built with it.
fn kafka_users() -> impl Iterator<Item = &'static str> {
    let users = ["lynk_events", "lynk_events_auth", "lynk_events_notification", "kafka_admin"];
    users.into_iter().filter(|_| cfg!(feature = "kafka"))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn one_command_makes_all_that_the_outside_systems_need_and_openssl_agrees() {
    let dir = Directory::new();
    dir.good(&[
        "certs",
        "init",
        "--for",
        "all",
        "--host",
        "postgres=db.example.org",
        "--host",
        "postgres=10.0.0.7",
    ]);
    let servers =
        ["postgres", "cassandra", "redis"].into_iter().chain(cfg!(feature = "kafka").then_some("kafka"));
    for server in servers {
        let (good, words) = dir.verify(server, &["-purpose", "sslserver", "-verify_hostname", server]);
        assert!(good, "{words}");
        assert!(dir.verify(server, &["-verify_ip", "127.0.0.1"]).0);
        assert!(!dir.verify(server, &["-verify_hostname", "elsewhere.example.org"]).0);
    }
    assert!(dir.verify("postgres", &["-verify_hostname", "db.example.org"]).0);
    assert!(dir.verify("postgres", &["-verify_ip", "10.0.0.7"]).0);
    assert!(!dir.verify("cassandra", &["-verify_hostname", "db.example.org"]).0);
    // Only nodes of a cluster call each other, and Redis itself.
    assert!(!dir.verify("postgres", &["-purpose", "sslclient"]).0);
    assert!(dir.verify("cassandra", &["-purpose", "sslclient"]).0);
    assert!(dir.verify("redis", &["-purpose", "sslclient"]).0);
    let roles = [
        "lynk_rooms",
        "lynk_accounts",
        "lynk_notify",
        "lynk_migrate",
        "postgres_admin",
        "lynk_messages",
        "lynk_cql_migrate",
        "lynk_ephemeral",
        "redis_admin",
    ];
    for role in roles.into_iter().chain(kafka_users()) {
        let (good, words) = dir.verify(role, &["-purpose", "sslclient"]);
        assert!(good, "{words}");
        assert!(!dir.verify(role, &["-purpose", "sslserver"]).0, "{role} is no server");
        let (_, subject) = openssl(&[
            "x509",
            "-noout",
            "-subject",
            "-nameopt",
            "RFC2253",
            "-in",
            &dir.path(&format!("{role}.crt")),
        ]);
        assert_eq!(subject.trim(), format!("subject=CN={role}"));
    }
    let (_, text) = openssl(&["x509", "-noout", "-text", "-in", &dir.path("lynk_rooms.crt")]);
    for words in [
        "prime256v1",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "CA:FALSE",
        "Authority Key Identifier",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (_, text) = openssl(&["x509", "-noout", "-text", "-in", &dir.path("ca.crt")]);
    for words in
        ["CA:TRUE, pathlen:0", "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let rows = dir.list();
    assert!(rows.iter().all(|row| row["state"] == "good"), "{rows:?}");
    let serials: BTreeSet<_> = rows.iter().map(|row| row["serial"].to_string()).collect();
    assert_eq!(serials.len(), rows.len(), "every serial is its own");
}

#[test]
fn keys_are_private_pkcs8_and_directories_closed() {
    let dir = Directory::new();
    dir.good(&["certs", "init", "--for", "all"]);
    let (mut keys, mut seen) = (BTreeSet::new(), 0);
    for place in [dir.root.clone(), dir.root.join("authority")] {
        assert_eq!(mode(&place), 0o700);
        for entry in fs::read_dir(&place).expect("readable").map(|entry| entry.expect("an entry").path()) {
            let name = entry.file_name().and_then(|name| name.to_str()).expect("Unicode").to_owned();
            if entry.is_dir() || name.ends_with(".crt") || name == "crl.pem" {
                continue;
            }
            assert_eq!(mode(&entry), 0o600, "{name}");
            if name.ends_with(".key") {
                let pem = fs::read_to_string(&entry).expect("readable");
                assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"), "{name}");
                let path = entry.to_str().expect("Unicode");
                assert!(openssl(&["pkey", "-check", "-noout", "-in", path]).0, "{name}");
                keys.insert(pem);
                seen += 1;
            }
        }
    }
    assert_eq!((keys.len(), seen >= 9), (seen, true), "every key is its own");
    let both = String::from_utf8(dir.read("cassandra.pem")).expect("text");
    let parts = [dir.read("cassandra.key"), dir.read("cassandra.crt")].concat();
    assert_eq!(both.as_bytes(), parts);
    // A directory that others may read is not used.
    fs::set_permissions(&dir.root, fs::Permissions::from_mode(0o750)).expect("ours");
    assert!(dir.bad(&["certs", "issue", "another"], 4).contains("chmod 700"));
}

#[test]
fn nothing_is_overwritten_unless_it_is_asked_for() {
    let dir = Directory::new();
    dir.good(&["certs", "init", "--for", "postgres"]);
    let before = [dir.read("ca.crt"), dir.read("lynk_rooms.key"), dir.read("authority/ca.key")];
    let told = dir.good(&["certs", "init", "--for", "all"]);
    assert!(
        told.contains("kept ca") && told.contains("kept lynk_rooms") && told.contains("made cassandra,"),
        "{told}"
    );
    let refused = dir.bad(&["certs", "issue", "lynk_rooms"], 4);
    assert!(refused.contains("lynk certs renew lynk_rooms") && refused.contains("--replace"), "{refused}");
    assert_eq!([dir.read("ca.crt"), dir.read("lynk_rooms.key"), dir.read("authority/ca.key")], before);
    dir.good(&["certs", "issue", "lynk_rooms", "--replace", "--host", "rooms.example.org"]);
    assert!(dir.verify("lynk_rooms", &["-purpose", "sslserver"]).0);
    for bad in [&["../x"][..], &["ca"], &["x", "--host", "a b"], &["x", "--days", "900"], &["x", "--both"]] {
        dir.bad(&[&["certs", "issue"], bad].concat(), 2);
    }
    assert!(dir.bad(&["certs", "init", "--host", "postgres=a.example.org"], 2).contains("--for postgres"));
    let elsewhere = Directory::new();
    assert!(elsewhere.bad(&["certs", "issue", "x"], 4).contains("lynk certs init --dir"));
    assert!(elsewhere.bad(&["certs", "list"], 4).contains("lynk certs init --dir"));
}

#[test]
fn what_ends_soon_is_told_and_renewed_with_a_new_key_for_the_same_use() {
    let dir = Directory::new();
    dir.good(&["certs", "init"]);
    dir.good(&[
        "certs",
        "issue",
        "redis",
        "--host",
        "redis.example.org",
        "--host",
        "::1",
        "--both",
        "--days",
        "31",
    ]);
    dir.good(&["certs", "issue", "lynk_rooms", "--days", "200"]);
    dir.good(&["certs", "list", "--check"]);
    // The clock is not ours to turn: a certificate of one day is due when a third of its life is left, so make one that is.
    let (soon, key) = (dir.row("redis"), dir.read("redis.key"));
    assert_eq!(soon["state"], "good");
    dir.good(&["certs", "renew", "redis", "--days", "60"]);
    let renewed = dir.row("redis");
    assert_eq!((&renewed["usage"], &renewed["hosts"]), (&soon["usage"], &soon["hosts"]));
    assert!(renewed["not_after_unix"].as_i64() > soon["not_after_unix"].as_i64());
    assert_ne!((&renewed["serial"], dir.read("redis.key")), (&soon["serial"], key));
    assert!(dir.verify("redis", &["-verify_ip", "::1", "-purpose", "sslclient"]).0);
    assert_eq!(dir.good(&["certs", "renew"]), "", "nothing is due");
    assert!(dir.bad(&["certs", "renew", "nobody"], 4).contains("lynk certs issue nobody"));
    // No certificate outlives the authority.
    let short = Directory::new();
    short.good(&["certs", "init", "--authority-days", "10"]);
    short.good(&["certs", "issue", "x"]);
    assert_eq!(short.row("x")["not_after_unix"], short.row("ca")["not_after_unix"]);
}

#[test]
fn the_last_third_of_a_life_is_due_and_an_ended_one_expired() {
    let dir = Directory::new();
    dir.good(&["certs", "init"]);
    // OpenSSL signs with our key what our program would have made some time ago.
    let make = |name: &str, begin: &str, end: &str| {
        let (key, request) = (dir.path(&format!("{name}.key")), dir.path("request"));
        let subject = format!("/CN={name}");
        let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let made =
            openssl(&[&["req"], &new[..], &["-subj", &subject, "-keyout", &key, "-out", &request]].concat());
        assert!(made.0, "{}", made.1);
        let settings = dir.path("settings");
        let book = dir.path("book");
        fs::write(&book, "").expect("writable");
        let text = format!(
            "[ca]\ndefault_ca=x\n[x]\ndatabase={book}\nnew_certs_dir={}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n\
             x509_extensions=e\n[p]\ncommonName=supplied\n[e]\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n",
            dir.root.display()
        );
        fs::write(&settings, text).expect("writable");
        let (ca, ca_key) = (dir.path("ca.crt"), dir.path("authority/ca.key"));
        let certificate = dir.path(&format!("{name}.crt"));
        let fixed = [
            "ca", "-batch", "-notext", "-config", &settings, "-cert", &ca, "-keyfile", &ca_key, "-in",
            &request,
        ];
        let signed =
            openssl(&[&fixed[..], &["-out", &certificate, "-startdate", begin, "-enddate", end]].concat());
        assert!(signed.0, "{}", signed.1);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
    };
    let at = |days: i64| {
        let when = format!("{days} days");
        let out =
            Command::new("date").args(["-u", "-d", &when, "+%Y%m%d%H%M%SZ"]).output().expect("date is there");
        String::from_utf8(out.stdout).expect("text").trim().to_owned()
    };
    make("fresh", &at(-10), &at(31));
    make("month", &at(-335), &at(29));
    make("short", &at(-7), &at(3));
    make("ended", &at(-9), &at(-1));
    let state = |name: &str| dir.row(name)["state"].as_str().expect("text").to_owned();
    let states = ["fresh", "month", "short", "ended"].map(state);
    assert_eq!(states, ["good", "due", "due", "expired"].map(str::to_owned));
    let told = dir.bad(&["certs", "list", "--check"], 1);
    assert!(told.contains("ended, month, short") && told.contains("lynk certs renew"), "{told}");
    let renewed = dir.good(&["certs", "renew"]);
    assert_eq!(renewed.lines().count(), 3, "{renewed}");
    dir.good(&["certs", "list", "--check"]);
}

#[test]
fn a_revoked_certificate_is_on_the_list_and_its_successor_is_not() {
    let dir = Directory::new();
    dir.good(&["certs", "init", "--for", "postgres"]);
    let list = dir.path("crl.pem");
    let checked = |name: &str| dir.verify(name, &["-crl_check", "-CRLfile", &list]);
    assert!(checked("lynk_rooms").0, "an empty list revokes nobody");
    // The old one is revoked as well: it may be what was stolen.
    fs::copy(dir.root.join("lynk_rooms.crt"), dir.root.join("old.crt")).expect("copied");
    fs::copy(dir.root.join("lynk_rooms.key"), dir.root.join("old.key")).expect("copied");
    dir.good(&["certs", "renew", "lynk_rooms"]);
    assert_eq!(dir.good(&["certs", "revoke", "lynk_rooms"]), "revoked lynk_rooms\n");
    for name in ["lynk_rooms", "old"] {
        let (good, words) = checked(name);
        assert!(!good && words.contains("certificate revoked"), "{words}");
        assert_eq!(dir.row(name)["state"], "revoked");
    }
    assert!(checked("lynk_accounts").0 && checked("postgres").0);
    assert_eq!(dir.good(&["certs", "renew"]), "", "what is revoked is not made good by the way");
    dir.good(&["certs", "renew", "lynk_rooms"]);
    assert!(checked("lynk_rooms").0 && !checked("old").0);
    let (good, text) = openssl(&["crl", "-noout", "-text", "-in", &list, "-CAfile", &dir.path("ca.crt")]);
    assert!(good && text.contains("verify OK") && text.matches("Serial Number:").count() == 2, "{text}");
}

#[test]
fn a_key_that_is_not_its_certificates_and_a_foreign_certificate_are_found() {
    let (dir, foreign) = (Directory::new(), Directory::new());
    for one in [&dir, &foreign] {
        one.good(&["certs", "init", "--for", "postgres"]);
    }
    fs::copy(dir.root.join("lynk_rooms.key"), dir.root.join("lynk_accounts.key")).expect("copied");
    for name in ["lynk_migrate.crt", "lynk_migrate.key"] {
        fs::copy(foreign.root.join(name), dir.root.join(name)).expect("copied");
    }
    fs::remove_file(dir.root.join("postgres.key")).expect("there");
    let why = |name: &str| dir.row(name)["why"].as_str().unwrap_or_default().to_owned();
    assert!(why("lynk_accounts").contains("not the key of the certificate"), "{}", why("lynk_accounts"));
    assert!(why("lynk_migrate").contains("not signed by the key of ca.crt"), "{}", why("lynk_migrate"));
    assert!(why("postgres").contains("postgres.key"), "{}", why("postgres"));
    fs::copy(foreign.root.join("authority/ca.key"), dir.root.join("authority/ca.key")).expect("copied");
    assert!(dir.bad(&["certs", "issue", "x"], 4).contains("is not the key of"));
    // A machine that only uses certificates has no authority.
    fs::remove_dir_all(foreign.root.join("authority")).expect("there");
    foreign.good(&["certs", "list", "--check"]);
    assert!(foreign.bad(&["certs", "renew"], 4).contains("authority"));
}

#[test]
fn init_writes_passwords_to_files_and_shows_none() {
    let dir = Directory::new();
    dir.good(&["certs", "init", "--for", "all"]);
    let out = dir.path("roles.sql");
    let mut shown = vec![
        dir.good(&["init", "postgres", "--out", &out]),
        dir.good(&["init", "cassandra", "--step", "administrator"]),
        dir.good(&["init", "cassandra", "--step", "roles", "--replication", "dc1=3"]),
        dir.good(&["init", "redis"]),
        fs::read_to_string(&out).expect("written"),
    ];
    if cfg!(feature = "kafka") {
        shown.push(dir.good(&["init", "kafka", "--step", "administrator"]));
        shown.push(dir.good(&["init", "kafka", "--step", "roles", "--replicas", "3"]));
    }
    assert_eq!(mode(Path::new(&out)), 0o600);
    assert!(shown[0].is_empty() && shown[2].contains("'dc1': 3"), "{}", shown[2]);
    let roles = [
        "lynk_migrate",
        "lynk_rooms",
        "lynk_accounts",
        "lynk_notify",
        "lynk_messages",
        "lynk_cql_migrate",
        "cassandra_admin",
        "lynk_ephemeral",
        "redis_admin",
    ];
    let password = |role: &str| String::from_utf8(dir.read(&format!("{role}.password"))).expect("text");
    for role in roles.into_iter().chain(kafka_users()) {
        let password = password(role);
        assert_eq!((mode(&dir.root.join(format!("{role}.password"))), password.len()), (0o600, 48));
        assert!(shown.iter().all(|text| !text.contains(&password)), "{role}");
        assert!(shown.iter().any(|text| text.contains(role)), "{role}");
    }
    let (kept, other) = (password("lynk_rooms"), password("lynk_messages"));
    assert!(dir.bad(&["init", "postgres", "--out", &out], 4).contains("--replace"));
    dir.good(&["init", "postgres", "--out", &out, "--replace"]);
    assert_eq!(password("lynk_rooms"), kept, "a password is made once");
    dir.good(&["init", "postgres", "--rotate"]);
    assert_ne!(password("lynk_rooms"), kept);
    assert_eq!(password("lynk_messages"), other);
    for bad in [
        &["postgres", "--database", "a; DROP"][..],
        &["cassandra", "--step", "roles", "--keyspace", "Chat"],
        &["cassandra", "--step", "roles", "--replication", "dc1=0"],
        &["cassandra", "--step", "administrator", "--replication", "dc1=1"],
        &["cassandra"],
        &["redis", "--prefix", "a:*"],
        // Of a build without Kafka there is no such system.
        &["kafka"],
        &["kafka", "--step", "roles", "--replicas", "0"],
        &["kafka", "--step", "administrator", "--replicas", "3"],
        &["kafka", "--step", "administrator", "--rotate"],
    ] {
        dir.bad(&[&["init"], bad].concat(), 2);
    }
}

/// The program that `lynk init kafka` writes, with tools that note what they are given.
#[cfg(feature = "kafka")]
#[test]
fn the_program_for_kafka_shows_no_password_to_others_and_leaves_no_file() {
    let dir = Directory::new();
    dir.good(&["certs", "init", "--for", "kafka"]);
    // Every sign that means something to a shell, to JAAS, or to a file of properties.
    let odd = r#"a"b\c=d,e]f[g{h}$(i)'`!#%&\u0041"#;
    fs::write(dir.root.join("lynk_events.password"), odd).expect("ours");
    fs::set_permissions(dir.root.join("lynk_events.password"), fs::Permissions::from_mode(0o600))
        .expect("ours");
    fs::write(dir.root.join("kafka_admin.password"), odd).expect("ours");
    fs::set_permissions(dir.root.join("kafka_admin.password"), fs::Permissions::from_mode(0o600))
        .expect("ours");
    let program = dir.path("roles.sh");
    dir.good(&["init", "kafka", "--step", "roles", "--out", &program]);
    let (tools, home) = (dir.root.join("tools"), dir.root.join("home"));
    for place in [&tools, &home] {
        fs::create_dir(place).expect("ours");
    }
    let tool = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$0 $*\" >>{0}/calls\nenv >>{0}/calls\nwhile [ $# != 0 ]; do\n\
         case $1 in --add-config-file | --command-config) cat \"$2\" >>{0}/files; stat -c %a \"$2\" >>{0}/modes ;; esac\nshift\ndone\n",
        dir.root.display()
    );
    for name in ["kafka-configs.sh", "kafka-acls.sh", "kafka-topics.sh"] {
        fs::write(tools.join(name), &tool).expect("ours");
        fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o700)).expect("ours");
    }
    let run = Command::new("sh")
        .args([&program, "broker:9093", &dir.path(""), tools.to_str().expect("Unicode")])
        .env("TMPDIR", &home)
        .output()
        .expect("there is a shell");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = |name: &str| String::from_utf8(dir.read(name)).expect("text");
    let (calls, files) = (text("calls"), text("files"));
    assert_eq!(calls.matches("--bootstrap-server broker:9093").count(), 1 + 3 + 5 + 6, "{calls}");
    for user in kafka_users() {
        let password = text(&format!("{user}.password"));
        let said = [String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr)].concat();
        assert!(!calls.contains(&password) && !said.contains(&password), "{user}");
    }
    let quoted = odd.replace('\\', r"\\");
    assert!(files.contains(&format!("SCRAM-SHA-512=iterations=4096,password={quoted}\n")), "{files}");
    let jaas = odd.replace('\\', r"\\").replace('"', r#"\""#).replace('\\', r"\\");
    assert!(files.contains(&format!("password=\"{jaas}\";\n")), "{files}");
    assert!(text("modes").lines().all(|mode| mode == "600"), "{}", text("modes"));
    assert_eq!(fs::read_dir(&home).expect("readable").count(), 0, "its own files are gone");
}
