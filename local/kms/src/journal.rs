//! The state on disk, so that a killed process loses no acknowledged change.
//!
//! ```text
//! kms.json       everything, written whole: temporary file, fsync, rename
//! kms.journal    the changes since: <16 hex digits of SHA-256> <JSON> \n, fsync after each
//! kms.lock       held by the one process that works here
//! ```
//!
//! Opening reads the one, does the other, writes a fresh `kms.json` and empties the
//! journal. A last line that is incomplete or whose digest is wrong was never
//! acknowledged, and is dropped. The same in the middle, or a `kms.json` that cannot
//! be read, is damage: opening fails, names the file, and changes nothing.
//!
//! Key material lies in these files in the clear (mode 0600): this is an instrument
//! for tests, and protects nothing.

use crate::OpenError;
use crate::key::Secret;
use crate::state::{Change, FORMAT, Snapshot, State, random};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The open journal of a state directory, and the lock on it.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    length: u64,
    _lock: File,
}

impl Journal {
    /// Reads what the directory holds, makes it if it is not there, locks it.
    pub(crate) fn open(dir: &Path) -> Result<(Self, State), OpenError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let lock = lock(&dir.join("kms.lock"))?;
        let mut state = State::default();
        read_snapshot(&dir.join("kms.json"), &mut state)?;
        let path = dir.join("kms.journal");
        replay(&path, &mut state)?;
        if state.import_secret.is_none() {
            let bytes = random::<32>().map_err(|error| at(dir)(io::Error::other(error)))?;
            state.import_secret = Some(Secret(Zeroizing::new(bytes.to_vec())));
        }
        write_snapshot(dir, &state)?;
        let mut file = private()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(at(&path))?;
        file.set_len(0).map_err(at(&path))?;
        file.seek(SeekFrom::Start(0)).map_err(at(&path))?;
        sync_dir(dir)?;
        Ok((
            Self {
                file,
                length: 0,
                _lock: lock,
            },
            state,
        ))
    }

    /// Makes the change durable.
    ///
    /// # Errors
    ///
    /// The disk refuses; then it does not count.
    pub(crate) fn append(&mut self, change: &Change) -> io::Result<()> {
        let json = serde_json::to_string(change).map_err(io::Error::other)?;
        let line = format!("{} {json}\n", digest(&json));
        let written = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What got there must not be taken for a change, nor what follows be torn by it.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

fn read_snapshot(path: &Path, state: &mut State) -> Result<(), OpenError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(broken(path, "it is not text"));
        }
        Err(error) => return Err(at(path)(error)),
    };
    let snapshot: Snapshot =
        serde_json::from_str(&text).map_err(|error| broken(path, error.to_string()))?;
    if !(1..=FORMAT).contains(&snapshot.format) {
        return Err(broken(
            path,
            format!(
                "format {} is not one that this program knows",
                snapshot.format
            ),
        ));
    }
    state.gone = snapshot.gone;
    state.import_secret = snapshot.import_secret;
    let changes = (snapshot.keys.into_iter().map(Change::Key))
        .chain(snapshot.grants.into_iter().map(Change::Grant))
        .chain(snapshot.aliases.into_iter().map(Change::Alias));
    for change in changes {
        state.apply(change).map_err(|reason| broken(path, reason))?;
    }
    Ok(())
}

fn replay(path: &Path, state: &mut State) -> Result<(), OpenError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(path)(error)),
    };
    let mut rest = &bytes[..];
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Ok(());
        };
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        match parse_line(line) {
            Some(change) => state
                .apply(change)
                .map_err(|reason| broken(path, format!("line {number}: {reason}")))?,
            None if after.is_empty() => return Ok(()),
            None => return Err(broken(path, format!("line {number} is damaged"))),
        }
        rest = after;
    }
    Ok(())
}

fn parse_line(line: &[u8]) -> Option<Change> {
    let (sum, json) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    (sum == digest(json)).then_some(())?;
    serde_json::from_str(json).ok()
}

fn write_snapshot(dir: &Path, state: &State) -> Result<(), OpenError> {
    let (path, temporary) = (dir.join("kms.json"), dir.join("kms.json.new"));
    let text = serde_json::to_vec_pretty(&state.snapshot())
        .map_err(|error| at(&temporary)(io::Error::other(error)))?;
    let mut file = private()
        .create(true)
        .truncate(true)
        .open(&temporary)
        .map_err(at(&temporary))?;
    file.write_all(&text)
        .and_then(|()| file.sync_all())
        .map_err(at(&temporary))?;
    fs::rename(&temporary, &path).map_err(at(&path))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), OpenError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(at(dir))
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = private()
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(at(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(at(path)(error)),
    }
}

/// Opens for writing, what it creates readable by the owner alone.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

fn digest(json: &str) -> String {
    crate::state::hex(&Sha256::digest(json.as_bytes())[..8])
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path: PathBuf = path.to_owned();
    move |source| OpenError::Io { path, source }
}

fn broken(path: &Path, reason: impl Into<String>) -> OpenError {
    OpenError::Broken {
        path: path.to_owned(),
        reason: reason.into(),
    }
}
