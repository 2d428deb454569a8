//! Who gets in, and what the server lets them do: its own answers.

mod common;

use common::{Keyspace, MESSAGES, MIGRATE, Server, runtime};
use lynk_bridge::Secret;
use lynk_cassandra::{CassandraMessages, Connect, ConnectError};
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

/// Connects, which fails; nothing secret is in what it says.
fn refused(server: &Server, connect: &Connect) -> String {
    let refused = runtime().block_on(CassandraMessages::connect(connect)).expect_err("nobody gets in");
    let words = format!("{refused} {refused:?} {connect:?}");
    assert!(matches!(refused, ConnectError::Refused(_)), "{words}");
    for role in [MESSAGES, MIGRATE] {
        assert!(!words.contains(&server.password(role)), "the password is shown");
        let key = server.file(&format!("{}_KEY", role.to_uppercase()));
        let key = String::from_utf8(key).expect("PEM");
        assert!(key.lines().all(|line| line.starts_with('-') || !words.contains(line)), "the key is shown");
    }
    words
}

#[test]
fn without_the_right_certificate_and_password_nobody_gets_in() {
    let Some(server) = Server::find("without_the_right_certificate_and_password_nobody_gets_in") else {
        return;
    };
    let keyspace = Keyspace::new(&server);
    let right = keyspace.connect();

    let mut nobody = right.clone();
    nobody.tls.identity = None;
    let words = refused(&server, &nobody);
    assert!(words.contains("ertificate") || words.contains("onnection"), "{words}");

    let mut foreign = right.clone();
    foreign.tls.identity = Some(server.identity(MESSAGES, "_FOREIGN"));
    refused(&server, &foreign);

    let mut impostor = right.clone();
    impostor.tls.ca = server.file("FOREIGN_CA");
    let words = refused(&server, &impostor);
    assert!(words.contains("UnknownIssuer"), "we do not trust a server of another CA: {words}");

    let mut guessed = right.clone();
    guessed.password = Secret::new("guessed");
    let words = refused(&server, &guessed);
    assert!(words.contains("uthentication") || words.contains("incorrect"), "{words}");
    assert!(!words.contains("guessed"), "{words}");

    let mut other = right.clone();
    other.password = Secret::new(server.password(MIGRATE));
    refused(&server, &other);

    let mut superuser = right.clone();
    (superuser.user, superuser.password) = ("cassandra".to_owned(), Secret::new("cassandra"));
    refused(&server, &superuser);

    let store = runtime().block_on(CassandraMessages::connect(&right)).expect("the right one gets in");
    assert_eq!(format!("{store:?}"), "CassandraMessages { .. }");
}

#[test]
fn roles_reach_their_own_tables_and_verbs_only() {
    let Some(server) = Server::find("roles_reach_their_own_tables_and_verbs_only") else { return };
    let keyspace = Keyspace::new(&server);
    let ks = &keyspace.name;
    runtime().block_on(async {
        let session = server.session(MESSAGES).await;
        for allowed in [
            format!("SELECT * FROM {ks}.messages"),
            format!("UPDATE {ks}.cursors SET lsn = 1 WHERE source = 'x'"),
            format!("SELECT * FROM {ks}.versions"),
        ] {
            session
                .query_unpaged(allowed.as_str(), ())
                .await
                .unwrap_or_else(|error| panic!("{allowed}: {error}"));
        }
        let forbidden = [
            "SELECT * FROM elsewhere.secrets".to_owned(),
            "INSERT INTO elsewhere.secrets (id, value) VALUES (1, 'x')".to_owned(),
            format!("INSERT INTO {ks}.versions (part, version) VALUES ('messages', 9)"),
            format!("DROP TABLE {ks}.messages"),
            format!("ALTER TABLE {ks}.messages ADD more text"),
            format!("CREATE TABLE {ks}.more (id int PRIMARY KEY)"),
            format!("DROP KEYSPACE {ks}"),
            "CREATE KEYSPACE more WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
                .to_owned(),
            "CREATE ROLE more WITH LOGIN = true".to_owned(),
            format!("GRANT SELECT ON TABLE {ks}.messages TO {MIGRATE}"),
            "SELECT * FROM system_auth.roles".to_owned(),
        ];
        for statement in forbidden {
            assert_unauthorized(&session, &statement).await;
        }
        let migrator = server.session(MIGRATE).await;
        for statement in [
            "SELECT * FROM elsewhere.secrets",
            "DROP TABLE elsewhere.secrets",
            "CREATE ROLE more WITH LOGIN = true",
            "SELECT * FROM system_auth.roles",
        ] {
            assert_unauthorized(&migrator, statement).await;
        }
    });
}

async fn assert_unauthorized(session: &scylla::client::session::Session, statement: &str) {
    let refused = session.query_unpaged(statement, ()).await;
    let unauthorized = matches!(
        refused,
        Err(ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Unauthorized, _)))
    );
    assert!(unauthorized, "{statement}: {:?}", refused.err());
}
