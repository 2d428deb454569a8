//! Who gets in and who may do what, from the server's own answers.

use std::net::{TcpListener, TcpStream};
use std::path::Path;

use lynk_bridge::{FileError, Secret};
use lynk_domain::Millis;
use lynk_model::StoreError;
use lynk_model::port::{AccountStore as _, RoomStore as _, ready};
use lynk_postgres::grants::{ACCOUNTS, GRANTS, MIGRATE, ROLES, ROOMS, Verb};
use lynk_postgres::{Connect, FaultKind, OpenError, PostgresAccounts, PostgresRooms, migrate};
use tokio_postgres::error::SqlState;

use crate::support::{Database, ROOM, Services, Waiting, family, raw, runtime, services};

/// What a store says that comes with `connect`.
fn refused(connect: &Connect) -> String {
    let rooms = Waiting::new(PostgresRooms::new(connect).expect("a store"));
    let fault = rooms.runtime.block_on(rooms.store.check()).expect_err("refused");
    assert!(matches!(fault.kind, FaultKind::Refused | FaultKind::Unavailable), "{fault}");
    assert_eq!(ready(rooms.load(ROOM)), Err(StoreError::Unavailable));
    let noted = rooms.store.take_fault().expect("noted");
    assert_eq!(noted.kind, fault.kind);
    format!("{fault}")
}

#[test]
fn the_right_identity_is_let_in_by_tls_with_its_certificate() {
    let Some(services) = services("the_right_identity_is_let_in_by_tls_with_its_certificate") else { return };
    let database = services.database();
    let rooms = database.rooms();
    rooms.runtime.block_on(rooms.store.check()).expect("let in");
    let accounts = database.accounts();
    accounts.runtime.block_on(accounts.store.check()).expect("let in");
    // The connections are open: the server says how.
    let sql = format!(
        "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
         WHERE a.datname = '{}' AND s.ssl AND s.version = 'TLSv1.3' AND s.client_dn = '/CN=' || a.usename AND a.application_name = 'lynk'",
        database.name
    );
    assert_eq!(database.number(&sql), 2);
}

#[test]
fn a_wrong_identity_is_refused() {
    let Some(services) = services("a_wrong_identity_is_refused") else { return };
    let database = services.database();
    let right = database.connect(ROOMS);
    let raw = |connect: &Connect, identity: Option<(&Path, &Path)>, password: &str| {
        let answer = runtime().block_on(raw(connect, identity, password));
        answer.err().map(|error| (error.code().cloned(), format!("{error:?}")))
    };
    let (own, password) = ((&*right.certificate, &*right.key), services.password(ROOMS));
    assert_eq!(raw(&right, Some(own), &password), None, "the right one works");

    let (code, text) = raw(&right, None, &password).expect("no certificate");
    assert_eq!(code, Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION), "{text}");
    assert!(text.contains("valid client certificate"), "{text}");

    let (certificate, key) = (services.of(ROOMS, "FOREIGN_CERT"), services.of(ROOMS, "FOREIGN_KEY"));
    let (code, text) =
        raw(&right, Some((&certificate, &key)), &password).expect("a certificate of another CA");
    assert!(code.is_none() && text.contains("UnknownCA"), "{text}");
    let foreign = refused(&Connect { certificate, key, ..right.clone() });
    assert!(foreign.contains("UnknownCA"), "{foreign}");

    let (certificate, key) = (services.of(ACCOUNTS, "CERT"), services.of(ACCOUNTS, "KEY"));
    let (code, text) =
        raw(&right, Some((&certificate, &key)), &password).expect("another role's certificate");
    assert!(code.is_some_and(|code| code.code().starts_with("28")), "{text}");
    let other = refused(&Connect { certificate, key, ..right.clone() });
    assert!(other.starts_with("refused: FATAL 28"), "{other}");

    let (code, text) = raw(&right, Some(own), "wrong").expect("a wrong password");
    assert_eq!(code, Some(SqlState::INVALID_PASSWORD), "{text}");
    let wrong = refused(&Connect { password: Secret::new("wrong-password"), ..right.clone() });
    assert!(wrong.contains("28P01") && !wrong.contains("wrong-password"), "{wrong}");

    let plain = async {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&right.host)
            .port(right.port)
            .dbname(&right.database)
            .user(&right.user)
            .password(&password);
        config.ssl_mode(tokio_postgres::config::SslMode::Disable).connect(tokio_postgres::NoTls).await.err()
    };
    let text = format!("{:?}", runtime().block_on(plain).expect("no TLS"));
    assert!(text.contains("no encryption"), "{text}");
}

/// Another address of loopback that leads to the server, for as long as the test runs.
fn forwarded(to: &Connect) -> (String, u16) {
    let listener = TcpListener::bind("127.0.0.2:0").expect("all of 127.0.0.0/8 is this machine's");
    let port = listener.local_addr().expect("bound").port();
    let server = (to.host.clone(), to.port);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&server).expect("the server is there");
            for (mut from, mut to) in [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))]
                .map(|(a, b)| (a.expect("a socket"), b.expect("a socket")))
            {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    to.shutdown(std::net::Shutdown::Write)
                });
            }
        }
    });
    ("127.0.0.2".to_owned(), port)
}

#[test]
fn a_wrong_server_is_refused() {
    let Some(services) = services("a_wrong_server_is_refused") else { return };
    let database = services.database();
    let right = database.connect(ROOMS);
    let foreign = refused(&Connect { ca: services.get("FOREIGN_CA").into(), ..right.clone() });
    assert!(foreign.contains("UnknownIssuer"), "{foreign}");
    // The same server by an address that its certificate is not for.
    let (host, port) = forwarded(&right);
    let name = refused(&Connect { host, port, ..right.clone() });
    assert!(name.contains("not valid for name"), "{name}");
}

#[test]
fn a_start_names_the_file_that_cannot_be_used() {
    let Some(services) = services("a_start_names_the_file_that_cannot_be_used") else { return };
    let right = services.connect(ROOMS, "lynk");
    let fails = |connect: Connect| PostgresRooms::new(&connect).err().expect("refused").to_string();
    let missing = fails(Connect { key: "missing.key".into(), ..right.clone() });
    assert!(missing.contains("missing.key"), "{missing}");
    let swapped = fails(Connect { certificate: right.key.clone(), ..right.clone() });
    assert!(swapped.contains("lynk_rooms.key") && swapped.contains("no certificate"), "{swapped}");
    let other = fails(Connect { key: services.of(ACCOUNTS, "KEY"), ..right.clone() });
    assert!(other.contains("lynk_rooms.crt"), "{other}");
    assert!(fails(Connect { pool_size: 0, ..right.clone() }).contains("pool_size"));
    let open = std::env::temp_dir().join(format!("lynk-open-{}.key", std::process::id()));
    std::fs::copy(&right.key, &open).expect("copied");
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("changed");
    let opened = PostgresRooms::new(&Connect { key: open.clone(), ..right }).err().expect("refused");
    std::fs::remove_file(&open).expect("removed");
    assert!(
        matches!(opened, OpenError::Files(FileError::KeyIsOpen { .. }))
            && opened.to_string().contains("chmod 600"),
        "{opened}"
    );
}

/// All tables of our schemas with their second column (the first may be one that nobody writes), or their only one.
fn tables(services: &Services, database: &Database) -> Vec<(String, String, String)> {
    let sql = "SELECT n.nspname::text, c.relname::text, quote_ident(a.attname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = LEAST(2, c.relnatts)
        WHERE c.relkind = 'r' AND n.nspname IN ('rooms', 'accounts', 'notify', 'media', 'lynk') ORDER BY 1, 2";
    let rows = runtime().block_on(async { services.admin(&database.name).await.query(sql, &[]).await });
    rows.expect("readable").iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[test]
fn a_role_may_do_what_the_table_of_rights_says_and_nothing_else() {
    let Some(services) = services("a_role_may_do_what_the_table_of_rights_says_and_nothing_else") else {
        return;
    };
    let database = services.database();
    let tables = tables(&services, &database);
    let listed: std::collections::BTreeSet<_> =
        GRANTS.iter().map(|grant| (grant.schema, grant.table)).collect();
    assert_eq!(tables.len(), listed.len(), "no table that no role is for");
    let mut granted = 0;
    for role in ROLES {
        runtime().block_on(async {
            let client = services.client(role, &database.name).await;
            for (schema, table, column) in &tables {
                for verb in Verb::ALL {
                    let statement = match verb {
                        Verb::Select => format!("SELECT FROM {schema}.{table}"),
                        Verb::Insert => format!("INSERT INTO {schema}.{table} DEFAULT VALUES"),
                        Verb::Update => format!("UPDATE {schema}.{table} SET {column} = DEFAULT"),
                        Verb::Delete => format!("DELETE FROM {schema}.{table}"),
                    };
                    let answer = client.batch_execute(&format!("BEGIN; {statement}")).await;
                    client.batch_execute("ROLLBACK").await.expect("rolled back");
                    let may = GRANTS.iter().any(|grant| {
                        (grant.role, grant.schema, grant.table) == (role, schema, table)
                            && grant.verbs.contains(&verb)
                    });
                    granted += u32::from(may);
                    // A right that is there leads past the check, to the constraints of the row.
                    let refused = answer.as_ref().err().and_then(|error| error.code())
                        == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
                    assert_eq!(refused, !may, "{role}: {statement}: {answer:?}");
                }
            }
        });
    }
    let listed: usize = GRANTS.iter().map(|grant| grant.verbs.len()).sum();
    assert_eq!(granted as usize, listed, "every line is of a table that exists");
}

#[test]
fn a_role_of_a_port_changes_no_schema() {
    let Some(services) = services("a_role_of_a_port_changes_no_schema") else { return };
    let database = services.database();
    for role in ROLES {
        runtime().block_on(async {
            let client = services.client(role, &database.name).await;
            for statement in [
                "CREATE TABLE rooms.mine (a int)",
                "CREATE TABLE accounts.mine (a int)",
                "CREATE TABLE notify.mine (a int)",
                "CREATE TABLE public.mine (a int)",
                "CREATE TEMP TABLE mine (a int)",
                "CREATE SCHEMA mine",
                "ALTER TABLE rooms.rooms ADD COLUMN mine int",
                "ALTER TABLE accounts.accounts ADD COLUMN mine int",
                "TRUNCATE rooms.rooms CASCADE",
                "TRUNCATE accounts.audit",
                "DROP TABLE lynk.schema_version",
                "CREATE ROLE mine",
                "CREATE DATABASE mine",
                "SET ROLE lynk_migrate",
                "ALTER SYSTEM SET fsync = on",
                "COPY (SELECT 1) TO PROGRAM 'true'",
            ] {
                let answer = client.batch_execute(statement).await.expect_err(statement);
                assert_eq!(answer.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {answer:?}");
            }
        });
        let fault = runtime().block_on(migrate(&database.connect(role))).expect_err("refused");
        assert!(fault.kind == FaultKind::Refused && fault.detail.contains(MIGRATE), "{fault}");
    }
}

#[test]
fn a_store_with_the_other_ports_role_is_refused_by_the_server() {
    let Some(services) = services("a_store_with_the_other_ports_role_is_refused_by_the_server") else {
        return;
    };
    let database = services.database();
    let mut accounts = Waiting::new(PostgresAccounts::new(&database.connect(ROOMS)).expect("a store"));
    let turned = ready(accounts.rotate(lynk_domain::SessionId([1; 16]), 0, &family(1), Millis(1)));
    assert_eq!(turned, Err(StoreError::Unavailable));
    let fault = accounts.store.take_fault().expect("noted");
    assert!(fault.kind == FaultKind::Refused && fault.detail.contains("42501"), "{fault}");
}

#[test]
fn secrets_are_in_no_error_and_in_no_log() {
    let Some(services) = services("secrets_are_in_no_error_and_in_no_log") else { return };
    let database = services.database();
    let mut printed = String::new();
    for role in ROLES {
        let right = database.connect(role);
        let (certificate, key) = (services.of(role, "FOREIGN_CERT"), services.of(role, "FOREIGN_KEY"));
        for connect in [
            right.clone(),
            Connect { certificate, key, ..right.clone() },
            Connect { database: "nowhere".to_owned(), ..right.clone() },
            Connect { port: 1, ..right.clone() },
            Connect { user: "nobody".to_owned(), ..right },
        ] {
            printed.push_str(&format!("{connect:?}\n"));
            let rooms = Waiting::new(PostgresRooms::new(&connect).expect("a store"));
            let error = rooms.runtime.block_on(rooms.store.check());
            printed.push_str(&format!(
                "{error:?} {}\n",
                error.as_ref().err().map(ToString::to_string).unwrap_or_default()
            ));
        }
    }
    let passwords = services.passwords();
    assert!(passwords.len() >= 4 && passwords.iter().all(|password| password.len() >= 32));
    let log = Path::new(services.get("TLS_CA")).ancestors().nth(2).expect("DIR").join("postgres/log");
    printed.push_str(&std::fs::read_to_string(&log).expect("the server's log"));
    // The server's processes and this one.
    let pid = std::fs::read_to_string(log.with_file_name("pid")).expect("a pid");
    let pid = pid.lines().next().expect("a line");
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for process in children.split_whitespace().chain([pid, "self"]) {
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
            printed.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    for password in passwords {
        assert!(!printed.contains(&password), "a password is printed");
    }
}
