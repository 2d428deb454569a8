//! What signs: making an authority, issuing, renewing and revoking.
//!
//! Thread: a command's; blocks on the disk. Invariant: a serial is in the book before the certificate is in its file, so whatever was handed
//! out can be revoked. What can fail: see [`certs`](super).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    RevokedCertParams, SanType, SerialNumber,
};
use rustix::fs::{FlockOperation, flock};
use time::OffsetDateTime;

use super::issued::{Entry, Issued, hex, unhex};
use super::read::{Facts, book_of, read_book, read_text};
use super::{DAY, HOSTS_MAX, Host, ISSUED_MAX, Request, Usage, is_there};
use crate::data_dir::{check_private, make_dir, refused, replace, sync_dir, write_new};
use crate::exit::Failure;
use crate::os;

/// Life of an authority, unless it is said otherwise.
pub(crate) const AUTHORITY_DAYS: u16 = 3_650;
/// Life of a certificate, unless it is said otherwise.
pub(crate) const LEAF_DAYS: u16 = 365;
/// A certificate is good from so many seconds before it was made: clocks differ.
const CLOCK_SECONDS: i64 = 10 * 60;

/// An authority whose key is at hand.
pub(crate) struct Authority {
    root: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    not_after: i64,
    book: Issued,
    now: i64,
    /// Held as long as this value lives.
    _lock: File,
}

impl Authority {
    /// Makes a new authority in `root`.
    ///
    /// # Errors
    /// There is one already, or the disk refuses.
    pub(crate) fn make(root: &Path, common_name: &str, days: u16) -> Result<Self, Failure> {
        make_dir(root, 0o700)?;
        check_private(root)?;
        let secret = root.join("authority");
        for path in [root.join("ca.crt"), secret.join("ca.key")] {
            if is_there(&path)? {
                return Err(Failure::dependency(format!("{} is there already", path.display())).cure(
                    "name another directory with --dir; a new authority would make everything that the old one signed worthless",
                ));
            }
        }
        make_dir(&secret, 0o700)?;
        let lock = lock(&secret)?;
        let key = new_key()?;
        let now = now();
        let mut params = authority_params(common_name);
        params.not_before = time_of(now - CLOCK_SECONDS)?;
        params.not_after = time_of(now + i64::from(days) * DAY)?;
        params.serial_number = Some(SerialNumber::from(serial()?));
        let certificate = params.self_signed(&key).map_err(|error| bug(&error))?.pem();
        write_new(&secret.join("ca.key"), key.serialize_pem().as_bytes(), 0o600)?;
        sync_dir(&secret)?;
        write_new(&root.join("ca.crt"), certificate.as_bytes(), 0o644)?;
        sync_dir(root)?;
        drop(lock);
        let authority = Self::open(root)?;
        authority.write_revoked()?;
        Ok(authority)
    }

    /// Takes the authority of `root` into the hand.
    ///
    /// # Errors
    /// There is none, its key may be read by others, another command has it, or its files do not belong together.
    pub(crate) fn open(root: &Path) -> Result<Self, Failure> {
        let (path, secret) = (root.join("ca.crt"), root.join("authority"));
        let key_path = secret.join("ca.key");
        for path in [&path, &key_path] {
            if !is_there(path)? {
                return Err(Failure::dependency(format!("{} is not there", path.display())).cure(format!(
                    "`lynk certs init --dir {}` makes an authority; of one that is kept elsewhere, bring the directory authority/ back",
                    root.display()
                )));
            }
        }
        check_private(root)?;
        let lock = lock(&secret)?;
        let facts = Facts::read(&path)?;
        let now = now();
        if facts.not_after <= now {
            return Err(Failure::dependency(format!("the authority in {} has expired", path.display()))
                .cure("make a new one in another directory with `lynk certs init`, and let everybody trust both for a while"));
        }
        if !facts.check_key(&key_path)? {
            return Err(Failure::dependency(format!(
                "{} is not the key of {}",
                key_path.display(),
                path.display()
            ))
            .cure("bring the two files of one authority together"));
        }
        let key = KeyPair::from_pem(&read_text(&key_path)?)
            .map_err(|_| Failure::dependency(format!("{} holds no private key", key_path.display())))?;
        let issuer = Issuer::new(authority_params(&facts.common_name), key);
        let book = read_book(root)?;
        let not_after = facts.not_after;
        Ok(Self { root: root.to_owned(), issuer, not_after, book, now, _lock: lock })
    }

    /// When it ends; seconds since 1970.
    pub(crate) fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Whether a certificate of this name is in the directory.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn has(&self, name: &str) -> Result<bool, Failure> {
        is_there(&self.path(name, "crt"))
    }

    /// Makes a key and a certificate, and returns when it ends.
    ///
    /// # Errors
    /// One of its files is there and `over` is not set, the request is none, or the disk refuses.
    pub(crate) fn issue(&mut self, request: &Request, over: bool) -> Result<i64, Failure> {
        let Request { name, usage, hosts, days } = request;
        let server = *usage != Usage::Client;
        if server == hosts.is_empty() || hosts.len() > HOSTS_MAX {
            return Err(Failure::new(
                crate::exit::Exit::Usage,
                format!("{name}: a server needs 1 to {HOSTS_MAX} hosts, a client none"),
            ));
        }
        for ending in ["crt", "key", "pem"] {
            let path = self.path(name, ending);
            if !over && is_there(&path)? {
                return Err(Failure::dependency(format!("{} is there already", path.display())).cure(
                    format!("`lynk certs renew {name}` makes a new one; --replace, one of another kind"),
                ));
            }
        }
        self.book.0.retain(|entry| entry.not_after > self.now);
        if self.book.0.len() >= ISSUED_MAX {
            return Err(Failure::dependency(format!("{ISSUED_MAX} certificates have not expired yet"))
                .cure("issue for fewer days, or use a second authority"));
        }
        let not_after = (self.now + i64::from(*days) * DAY).min(self.not_after);
        let (serial, key) = (serial()?, new_key()?);
        let mut params = CertificateParams::default();
        params.not_before = time_of(self.now - CLOCK_SECONDS)?;
        params.not_after = time_of(not_after)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.distinguished_name = named(name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match usage {
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.subject_alt_names = hosts.iter().map(alternative).collect::<Result<_, _>>()?;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(|error| bug(&error))?.pem();

        self.book.0.push(Entry { serial: hex(&serial), not_after, revoked: None, name: name.clone() });
        self.write_book()?;
        let key = key.serialize_pem();
        replace(&self.path(name, "key"), key.as_bytes(), 0o600)?;
        replace(&self.path(name, "crt"), certificate.as_bytes(), 0o644)?;
        if server {
            let both = format!("{key}{certificate}");
            replace(&self.path(name, "pem"), both.as_bytes(), 0o600)?;
        }
        Ok(not_after)
    }

    /// Makes a new key and a new certificate for what the one in the directory is for, and returns when it ends.
    ///
    /// # Errors
    /// There is none, or as [`issue`](Self::issue).
    pub(crate) fn renew(&mut self, name: &str, days: u16) -> Result<i64, Failure> {
        let path = self.path(name, "crt");
        if !is_there(&path)? {
            return Err(Failure::dependency(format!("{} is not there", path.display()))
                .cure(format!("`lynk certs issue {name}` makes the first one")));
        }
        let facts = Facts::read(&path)?;
        let usage = facts.usage.filter(|_| facts.common_name == name).ok_or_else(|| {
            Failure::dependency(format!("{} was not made by this program", path.display()))
                .cure(format!("`lynk certs issue {name} --replace`"))
        })?;
        self.issue(&Request { name: name.to_owned(), usage, hosts: facts.hosts, days }, true)
    }

    /// Revokes everything that was issued under a name and has not expired, and returns how many certificates that were.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn revoke(&mut self, name: &str) -> Result<usize, Failure> {
        let mut count = 0;
        for entry in self.book.0.iter_mut().filter(|entry| entry.name == name && entry.revoked.is_none()) {
            entry.revoked = Some(self.now);
            count += 1;
        }
        self.write_book()?;
        self.write_revoked()?;
        Ok(count)
    }

    fn write_book(&self) -> Result<(), Failure> {
        replace(&book_of(&self.root), self.book.render(self.now).as_bytes(), 0o600)
    }

    /// Writes the revocation list. It stays valid as long as the authority: its readers get it as a file, and one that had ended would
    /// shut everybody out.
    fn write_revoked(&self) -> Result<(), Failure> {
        let revoked = self.book.revoked().map(|(entry, at)| {
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from(unhex(&entry.serial).unwrap_or_default()),
                revocation_time: time_of(at)?,
                reason_code: None,
                invalidity_date: None,
            })
        });
        // It must grow; a number has no leading zeros.
        let number = os::wall_millis().0.to_be_bytes();
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let params = CertificateRevocationListParams {
            this_update: time_of(self.now - CLOCK_SECONDS)?,
            next_update: time_of(self.not_after)?,
            crl_number: SerialNumber::from_slice(number.get(zeros..).unwrap_or_default()),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect::<Result<_, Failure>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(|error| bug(&error))?;
        replace(&self.root.join("crl.pem"), list.as_bytes(), 0o644)
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.root.join(format!("{name}.{ending}"))
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("root", &self.root)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// What is the same in the authority's certificate and in what it signs.
fn authority_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(common_name);
    // It signs no other authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn alternative(host: &Host) -> Result<SanType, Failure> {
    Ok(match host {
        Host::Name(name) => SanType::DnsName(name.as_str().try_into().map_err(|error| bug(&error))?),
        Host::Address(address) => SanType::IpAddress(*address),
    })
}

fn new_key() -> Result<KeyPair, Failure> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| bug(&error))
}

/// A serial number: random, positive, and as many bytes as it has.
fn serial() -> Result<Vec<u8>, Failure> {
    let mut bytes = os::random::<16>()?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(bytes.to_vec())
}

fn now() -> i64 {
    i64::try_from(os::wall_millis().0 / 1_000).unwrap_or(i64::MAX)
}

fn time_of(seconds: i64) -> Result<OffsetDateTime, Failure> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| {
        Failure::dependency(format!("the clock of this machine is wrong: {error}"))
            .cure("set it, and try again")
    })
}

fn bug(error: &rcgen::Error) -> Failure {
    Failure::from(anyhow::anyhow!("a certificate could not be made: {error}"))
}

fn lock(secret: &Path) -> Result<File, Failure> {
    let path = secret.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| refused(&path, &error))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Failure::dependency(format!("another command uses {}", secret.display()))
            .cure("wait until it has ended"));
    }
    Ok(file)
}
