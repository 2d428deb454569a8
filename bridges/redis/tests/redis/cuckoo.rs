//! The commands of the cuckoo filter against a server that has them; `scripts/cuckoo` starts one, which speaks neither TLS
//! nor knows users. It is a model of the real thing, so this says that the wire format is right and no more.

use lynk_redis::filter;
use redis::Value;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use tokio::net::TcpStream;

use crate::support::block_on;

#[test]
fn a_server_with_cuckoo_filters_understands_us() {
    let Ok(address) = std::env::var("LYNK_CUCKOO") else { return };
    let key = "lynk:names";
    block_on(async {
        let socket = TcpStream::connect(&address).await.expect("scripts/cuckoo started it");
        let info = redis::RedisConnectionInfo::default().set_skip_set_lib_name();
        let (mut connection, driver) =
            MultiplexedConnection::new_with_config(&info, socket, redis::AsyncConnectionConfig::new())
                .await
                .expect("a connection");
        tokio::spawn(driver);
        redis::cmd("DEL").arg(key).exec_async(&mut connection).await.expect("empty");
        let ask = connection.clone();
        let may_have = async |name: &str| {
            let answer: Value =
                filter::question(key, name).query_async(&mut ask.clone()).await.expect("an answer");
            filter::may_have(&answer).expect("a known form")
        };
        assert!(may_have("räume").await, "without a filter everything may be");
        for name in ["räume", "a room", "räume"] {
            let added = connection.req_packed_command(&filter::add(key, name)).await.expect("added");
            assert!(matches!(added, Value::Int(0 | 1)), "{added:?}");
        }
        assert!(may_have("räume").await && may_have("a room").await);
        assert!(!may_have("another").await);
    });
    let _ = std::io::Write::write_all(&mut std::io::stderr(), b"\ncuckoo filter: checked\n");
}
