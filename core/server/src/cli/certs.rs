//! `lynk certs`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use time::OffsetDateTime;

use crate::certs::{
    AUTHORITY_DAYS, Authority, Host, LEAF_DAYS, Listed, Request, State, Usage, check_name, list,
};
use crate::cli::bad_flag;
use crate::exit::{Exit, Failure};
use crate::os;
use crate::out::{Form, put, put_json};
use crate::principals::System;

/// `lynk certs …`
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum CertsCommand {
    /// Make an authority, and what outside systems and Lynk's roles need to show each other. It may be run again: what is there stays.
    #[command(
        after_help = "Examples:\n  lynk certs init --for postgres --for cassandra\n  lynk certs init --dir /etc/lynk/credentials --for all --host postgres=db.example.org --host postgres=10.0.0.7\n\n\
        A server's certificate is for its own name (`postgres`), localhost, 127.0.0.1 and what --host adds."
    )]
    Init(InitArgs),
    /// Make one certificate: of a server when it has hosts, else of a client.
    #[command(
        after_help = "Examples:\n  lynk certs issue lynk_rooms\n  lynk certs issue redis --host redis.example.org --host 10.0.0.9"
    )]
    Issue(IssueArgs),
    /// Make new keys and certificates for what ends soon, or for what is named.
    #[command(
        after_help = "Examples:\n  lynk certs renew\n  lynk certs renew lynk_rooms lynk_accounts --dir /etc/lynk/credentials\n\n\
        Whoever uses them must read them again: Lynk when it is restarted, PostgreSQL and Redis on a reload."
    )]
    Renew(RenewArgs),
    /// Write into crl.pem that all certificates of a name are not to be trusted any more.
    #[command(
        after_help = "Examples:\n  lynk certs revoke lynk_rooms\n  lynk certs revoke kafka --dir /etc/lynk/credentials\n\n\
        Only a server that reads crl.pem knows (PostgreSQL: ssl_crl_file). Change the role's password too: `lynk init … --rotate`."
    )]
    Revoke(RevokeArgs),
    /// List certificates and when they end.
    #[command(after_help = "Examples:\n  lynk certs list\n  lynk certs list --check -o json")]
    List(ListArgs),
}

/// Which directory.
#[derive(Args, Clone, Debug)]
pub(crate) struct DirArgs {
    /// Directory of certificates, keys and passwords.
    #[arg(long, value_name = "DIR", default_value = "credentials")]
    dir: PathBuf,
    /// Form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// `lynk certs init`
#[derive(Args, Clone, Debug)]
pub(crate) struct InitArgs {
    /// The server of this system, its administrator and Lynk's roles on it; `all` for every system. May be repeated.
    #[arg(long = "for", value_name = "SYSTEM", value_parser = parse_systems)]
    systems: Vec<Systems>,
    /// One more host of a system's server. May be repeated.
    #[arg(long = "host", value_name = "SYSTEM=HOST", value_parser = parse_system_host)]
    hosts: Vec<(System, Host)>,
    /// Name of the authority.
    #[arg(long, value_name = "TEXT", default_value = "Lynk CA", value_parser = parse_common_name)]
    name: String,
    /// Life of the authority, in days.
    #[arg(long, value_name = "DAYS", default_value_t = AUTHORITY_DAYS, value_parser = clap::value_parser!(u16).range(1..=7_300))]
    authority_days: u16,
    /// Life of each certificate, in days.
    #[arg(long, value_name = "DAYS", default_value_t = LEAF_DAYS, value_parser = clap::value_parser!(u16).range(1..=825))]
    days: u16,
    #[command(flatten)]
    dir: DirArgs,
}

#[derive(Clone, Debug)]
struct Systems(Vec<System>);

fn parse_systems(text: &str) -> Result<Systems, String> {
    match text {
        "all" => Ok(Systems(System::ALL.to_vec())),
        text => parse_system(text).map(|system| Systems(vec![system])),
    }
}

fn parse_system(text: &str) -> Result<System, String> {
    let names: Vec<_> = System::ALL.iter().map(|system| system.name()).collect();
    let found = System::ALL.iter().copied().find(|system| system.name() == text);
    found.ok_or_else(|| format!("must be one of {}, all", names.join(", ")))
}

fn parse_system_host(text: &str) -> Result<(System, Host), String> {
    let (system, host) = text.split_once('=').ok_or("must have the form system=host")?;
    Ok((parse_system(system)?, Host::parse(host)?))
}

fn parse_common_name(text: &str) -> Result<String, String> {
    let good = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    good.then(|| text.to_owned()).ok_or_else(|| "must be a text of 1 to 64 characters".to_owned())
}

fn parse_name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

/// `lynk certs issue`
#[derive(Args, Clone, Debug)]
pub(crate) struct IssueArgs {
    /// Name of the files, and the common name: of a client, its role.
    #[arg(value_parser = parse_name)]
    name: String,
    /// What the server is called by those who connect: a DNS name or an address. May be repeated.
    #[arg(long = "host", value_name = "HOST", value_parser = Host::parse)]
    hosts: Vec<Host>,
    /// The server also calls its like, as nodes of a cluster do.
    #[arg(long, requires = "hosts")]
    both: bool,
    /// Overwrite what is there.
    #[arg(long)]
    replace: bool,
    /// Life, in days.
    #[arg(long, value_name = "DAYS", default_value_t = LEAF_DAYS, value_parser = clap::value_parser!(u16).range(1..=825))]
    days: u16,
    #[command(flatten)]
    dir: DirArgs,
}

/// `lynk certs renew`
#[derive(Args, Clone, Debug)]
pub(crate) struct RenewArgs {
    /// These, whenever they end [default: all that are due or have expired].
    #[arg(value_parser = parse_name)]
    names: Vec<String>,
    /// Life, in days.
    #[arg(long, value_name = "DAYS", default_value_t = LEAF_DAYS, value_parser = clap::value_parser!(u16).range(1..=825))]
    days: u16,
    #[command(flatten)]
    dir: DirArgs,
}

/// `lynk certs revoke`
#[derive(Args, Clone, Debug)]
pub(crate) struct RevokeArgs {
    /// Whose.
    #[arg(required = true, value_parser = parse_name)]
    names: Vec<String>,
    #[command(flatten)]
    dir: DirArgs,
}

/// `lynk certs list`
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Fail unless all of them are good.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    dir: DirArgs,
}

impl CertsCommand {
    /// Does it.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Init(args) => args.run(),
            Self::Issue(args) => args.run(),
            Self::Renew(args) => args.run(),
            Self::Revoke(args) => args.run(),
            Self::List(args) => args.run(),
        }
    }
}

/// What a command did with a name.
struct Done {
    what: &'static str,
    name: String,
    not_after: Option<i64>,
}

impl InitArgs {
    fn run(self) -> Result<(), Failure> {
        let root = &self.dir.dir;
        let mut done = Vec::new();
        let there = root.join("ca.crt").exists();
        let mut authority = if there {
            Authority::open(root)?
        } else {
            Authority::make(root, &self.name, self.authority_days)?
        };
        let what = if there { "kept" } else { "made" };
        done.push(Done { what, name: "ca".to_owned(), not_after: Some(authority.not_after()) });
        let mut systems: Vec<_> = self.systems.iter().flat_map(|systems| systems.0.clone()).collect();
        systems.sort_unstable();
        systems.dedup();
        if let Some((system, _)) = self.hosts.iter().find(|(system, _)| !systems.contains(system)) {
            return Err(bad_flag("--host", format!("there is no --for {}", system.name())));
        }
        for system in systems {
            for request in requests(system, &self.hosts, self.days) {
                let kept = authority.has(&request.name)?;
                let not_after = if kept { None } else { Some(authority.issue(&request, false)?) };
                let what = if kept { "kept" } else { "made" };
                done.push(Done { what, name: request.name, not_after });
            }
        }
        tell(&done, self.dir.output)
    }
}

/// All that a system needs.
fn requests(system: System, hosts: &[(System, Host)], days: u16) -> Vec<Request> {
    let own = [system.name(), "localhost", "127.0.0.1"];
    let own = own.iter().filter_map(|host| Host::parse(host).ok());
    let more = hosts.iter().filter(|(of, _)| *of == system).map(|(_, host)| host.clone());
    let server = Request {
        name: system.name().to_owned(),
        usage: system.usage(),
        hosts: own.chain(more).collect(),
        days,
    };
    let clients = system.roles().into_iter().chain([system.administrator()]);
    let clients =
        clients.map(|role| Request { name: role.to_owned(), usage: Usage::Client, hosts: Vec::new(), days });
    [server].into_iter().chain(clients).collect()
}

impl IssueArgs {
    fn run(self) -> Result<(), Failure> {
        let usage = match (self.hosts.is_empty(), self.both) {
            (true, _) => Usage::Client,
            (false, true) => Usage::Both,
            (false, false) => Usage::Server,
        };
        let mut authority = Authority::open(&self.dir.dir)?;
        let request = Request { name: self.name.clone(), usage, hosts: self.hosts, days: self.days };
        let not_after = Some(authority.issue(&request, self.replace)?);
        tell(&[Done { what: "made", name: self.name, not_after }], self.dir.output)
    }
}

impl RenewArgs {
    fn run(self) -> Result<(), Failure> {
        let root = &self.dir.dir;
        let mut authority = Authority::open(root)?;
        let names = match self.names.is_empty() {
            false => self.names,
            true => due(root)?,
        };
        let mut done = Vec::new();
        for name in names {
            let not_after = Some(authority.renew(&name, self.days)?);
            done.push(Done { what: "renewed", name, not_after });
        }
        tell(&done, self.dir.output)
    }
}

/// Names of what ends soon or has ended. What was revoked, or is broken, is not made good by the way.
fn due(root: &Path) -> Result<Vec<String>, Failure> {
    let due = list(root, now())?.into_iter().filter(|one| matches!(one.state, State::Due | State::Expired));
    Ok(due.filter(|one| one.name != "ca").map(|one| one.name).collect())
}

impl RevokeArgs {
    fn run(self) -> Result<(), Failure> {
        let mut authority = Authority::open(&self.dir.dir)?;
        let mut done = Vec::new();
        for name in self.names {
            let what = match authority.revoke(&name)? {
                0 => "nothing of",
                _ => "revoked",
            };
            done.push(Done { what, name, not_after: None });
        }
        tell(&done, self.dir.output)
    }
}

impl ListArgs {
    fn run(self) -> Result<(), Failure> {
        let now = now();
        let all = list(&self.dir.dir, now)?;
        match self.dir.output {
            Form::Text => put(&all.iter().map(|one| line(one, now)).collect::<String>())?,
            Form::Json => put_json(&json!({ "certificates": all.iter().map(as_json).collect::<Vec<_>>() }))?,
        }
        let bad: Vec<_> =
            all.iter().filter(|one| one.state != State::Good).map(|one| one.name.as_str()).collect();
        if !self.check || bad.is_empty() {
            return Ok(());
        }
        Err(Failure::new(Exit::Failure, format!("not good: {}", bad.join(", "))).cure(
            "`lynk certs renew` renews what is due or has expired, `lynk certs renew NAME` anything else",
        ))
    }
}

fn line(one: &Listed, now: i64) -> String {
    let usage = one.usage.map_or("authority", Usage::name);
    let hosts: Vec<_> = one.hosts.iter().map(ToString::to_string).collect();
    let days = (one.not_after - now) / (24 * 60 * 60);
    let (until, days) = match &one.state {
        State::Broken(why) => (why.clone(), String::new()),
        _ => (date(one.not_after), format!("{days} days")),
    };
    format!("{:8} {:18} {usage:9} {until} {days:>10}  {}\n", one.state.name(), one.name, hosts.join(" "))
}

fn as_json(one: &Listed) -> serde_json::Value {
    let why = match &one.state {
        State::Broken(why) => Some(why.as_str()),
        _ => None,
    };
    json!({
        "name": one.name,
        "usage": one.usage.map_or("authority", Usage::name),
        "hosts": one.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "serial": one.serial,
        "not_after_unix": one.not_after,
        "state": one.state.name(),
        "why": why,
    })
}

fn tell(done: &[Done], form: Form) -> Result<(), Failure> {
    match form {
        Form::Text => put(&done
            .iter()
            .map(|Done { what, name, not_after }| {
                let until = not_after.map(|at| format!(", good until {}", date(at))).unwrap_or_default();
                format!("{what} {name}{until}\n")
            })
            .collect::<String>()),
        Form::Json => {
            let rows = done.iter().map(|Done { what, name, not_after }| {
                json!({ "done": what, "name": name, "not_after_unix": not_after })
            });
            put_json(&json!({ "certificates": rows.collect::<Vec<_>>() }))
        }
    }
}

fn now() -> i64 {
    i64::try_from(os::wall_millis().0 / 1_000).unwrap_or(i64::MAX)
}

fn date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(
        |_| "?".to_owned(),
        |at| format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day()),
    )
}
