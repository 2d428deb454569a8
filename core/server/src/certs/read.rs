//! Which certificates lie in a directory, and how long they are good.
//!
//! Thread: a command's; blocks on the disk. It needs no authority: a machine that only uses certificates can ask when they end.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PublicKeyData as _};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use x509_cert::Certificate;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{DecodePem as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

use super::issued::{Issued, hex};
use super::{DAY, DUE_DAYS, DUE_PART, Host, Usage, check_name, is_there};
use crate::data_dir::{check_private, refused};
use crate::exit::Failure;

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// Whether a certificate can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Good,
    /// It ends soon: renew it.
    Due,
    Expired,
    Revoked,
    /// It cannot be used, and why.
    Broken(String),
}

impl State {
    /// Its name for people and scripts.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Due => "due",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Broken(_) => "broken",
        }
    }
}

/// A certificate of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    /// Name of its files; `ca` is the authority.
    pub(crate) name: String,
    /// `None` for the authority.
    pub(crate) usage: Option<Usage>,
    pub(crate) hosts: Vec<Host>,
    /// Hexadecimal.
    pub(crate) serial: String,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
    pub(crate) state: State,
}

/// What this crate wants to know of a certificate.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) common_name: String,
    pub(super) usage: Option<Usage>,
    pub(super) hosts: Vec<Host>,
    pub(super) serial: String,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    public: Vec<u8>,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = read_text(path)?;
        facts(&text).ok_or_else(|| {
            Failure::dependency(format!("{} is not a certificate that can be read", path.display()))
                .cure("restore the file, or remove it and issue it again with `lynk certs issue`")
        })
    }

    /// Whether the key in the file is the one of this certificate.
    ///
    /// # Errors
    /// The file cannot be read, may be read by others, or holds no key.
    pub(super) fn check_key(&self, path: &Path) -> Result<bool, Failure> {
        check_private(path)?;
        let key = KeyPair::from_pem(&read_text(path)?)
            .map_err(|_| Failure::dependency(format!("{} holds no private key", path.display())))?;
        Ok(key.der_bytes() == self.public)
    }

    /// Whether the authority of `ca` signed this certificate.
    fn is_signed_by(&self, ca: &Self) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &ca.public);
        key.verify(&self.signed, &self.signature).is_ok()
    }

    fn state_at(&self, now: i64) -> State {
        let left = self.not_after - now;
        let part = (self.not_after - self.not_before) / DUE_PART;
        match left {
            ..=0 => State::Expired,
            left if left < part.min(DUE_DAYS * DAY) => State::Due,
            _ => State::Good,
        }
    }
}

fn facts(pem: &str) -> Option<Facts> {
    let certificate = Certificate::from_pem(pem).ok()?;
    let tbs = &certificate.tbs_certificate;
    let mut names = tbs.subject.0.iter().flat_map(|rdn| rdn.0.iter());
    let common_name = names.find(|pair| pair.oid == COMMON_NAME)?;
    let common_name = std::str::from_utf8(common_name.value.value()).ok()?.to_owned();
    let usages = tbs.get::<ExtendedKeyUsage>().ok()?.map(|(_, usages)| usages.0).unwrap_or_default();
    let usage = match (usages.contains(&SERVER_AUTH), usages.contains(&CLIENT_AUTH)) {
        (true, true) => Some(Usage::Both),
        (true, false) => Some(Usage::Server),
        (false, true) => Some(Usage::Client),
        (false, false) => None,
    };
    let names = tbs.get::<SubjectAltName>().ok()?.map(|(_, names)| names.0).unwrap_or_default();
    let seconds = |time: &x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).ok();
    Some(Facts {
        common_name,
        usage,
        hosts: names.iter().filter_map(host).collect(),
        serial: hex(tbs.serial_number.as_bytes()),
        not_before: seconds(&tbs.validity.not_before)?,
        not_after: seconds(&tbs.validity.not_after)?,
        public: tbs.subject_public_key_info.subject_public_key.raw_bytes().to_vec(),
        signed: tbs.to_der().ok()?,
        signature: certificate.signature.raw_bytes().to_vec(),
    })
}

fn host(name: &GeneralName) -> Option<Host> {
    match name {
        GeneralName::DnsName(name) => Host::parse(name.as_str()).ok(),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            bytes if bytes.len() == 4 => Some(Host::Address(<[u8; 4]>::try_from(bytes).ok()?.into())),
            bytes => Some(Host::Address(<[u8; 16]>::try_from(bytes).ok()?.into())),
        },
        _ => None,
    }
}

/// Reads a text that may not be long.
///
/// # Errors
/// It cannot be read, or is no text.
pub(super) fn read_text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| refused(path, &error))?;
    Ok(text)
}

/// Where the authority's book of a directory is.
pub(super) fn book_of(root: &Path) -> PathBuf {
    root.join("authority/issued")
}

/// Reads the authority's book; an empty one when there is none.
///
/// # Errors
/// It cannot be read, or a line is none.
pub(super) fn read_book(root: &Path) -> Result<Issued, Failure> {
    let path = book_of(root);
    if !is_there(&path)? {
        return Ok(Issued::default());
    }
    let text = fs::read_to_string(&path).map_err(|error| refused(&path, &error))?;
    Issued::parse(&text).map_err(|line| {
        Failure::dependency(format!("{}, line {line}: not a line of this book", path.display()))
            .cure("restore the file from a copy: without it nothing that was issued can be revoked")
    })
}

/// The certificates of a directory: the authority first, then by name.
///
/// # Errors
/// The directory cannot be read. What is wrong with one certificate is told in its state.
pub(crate) fn list(root: &Path, now: i64) -> Result<Vec<Listed>, Failure> {
    let book = read_book(root)?;
    let mut names = Vec::new();
    let entries = fs::read_dir(root).map_err(|error| {
        refused(root, &error).cure(format!("`lynk certs init --dir {}` makes it", root.display()))
    })?;
    for entry in entries {
        let name = entry.map_err(|error| refused(root, &error))?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(".crt")).map(str::to_owned);
        names.extend(name.filter(|name| name == "ca" || check_name(name).is_ok()));
    }
    names.sort_by_key(|name| (name != "ca", name.clone()));
    let ca = Facts::read(&root.join("ca.crt"))?;
    Ok(names.into_iter().map(|name| listed(root, name, &ca, &book, now)).collect())
}

fn listed(root: &Path, name: String, ca: &Facts, book: &Issued, now: i64) -> Listed {
    let facts = match Facts::read(&root.join(format!("{name}.crt"))) {
        Ok(facts) => facts,
        Err(error) => {
            let state = State::Broken(error.what().to_owned());
            return Listed {
                name,
                usage: None,
                hosts: Vec::new(),
                serial: String::new(),
                not_after: 0,
                state,
            };
        }
    };
    let revoked = book.find(&facts.serial).is_some_and(|entry| entry.revoked.is_some());
    let key = root.join(format!("{name}.key"));
    let state = match facts.check_key(&key) {
        // The authority's key need not be here.
        _ if name == "ca" => facts.state_at(now),
        _ if !facts.is_signed_by(ca) => State::Broken("it is not signed by the key of ca.crt".to_owned()),
        Err(error) => State::Broken(error.what().to_owned()),
        Ok(false) => State::Broken(format!("{} is not the key of the certificate", key.display())),
        Ok(true) if revoked => State::Revoked,
        Ok(true) => facts.state_at(now),
    };
    let Facts { usage, hosts, serial, not_after, .. } = facts;
    Listed { name, usage, hosts, serial, not_after, state }
}
