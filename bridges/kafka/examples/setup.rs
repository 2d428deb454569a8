//! Prints what a broker needs: `list`, or the commands of Kafka's own tools.
//!
//! `cargo run -p lynk-kafka --example setup -- list`, or `-- topics|users|acls BOOTSTRAP COMMAND_CONFIG PASSWORD_DIR REPLICAS`.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::process::ExitCode;

use lynk_kafka::topics::{self, Tools};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let text = match words[..] {
        ["list"] => topics::list(),
        [what, bootstrap, command_config, password_dir, replicas] => {
            let Ok(replicas) = replicas.parse() else { return usage() };
            let tools = Tools { bootstrap, command_config, password_dir, replicas };
            match what {
                "topics" => topics::topic_commands(&tools),
                "users" => topics::user_commands(&tools),
                "acls" => topics::acl_commands(&tools),
                _ => return usage(),
            }
        }
        _ => return usage(),
    };
    print!("{text}");
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: setup list | setup topics|users|acls BOOTSTRAP COMMAND_CONFIG PASSWORD_DIR REPLICAS");
    ExitCode::from(2)
}
