//! The file of checkpoints: one line of JSON each, outside of the database, only ever appended to.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Chain, Checkpoint};
use crate::{
    error::{Error, ErrorKind, Result},
    key::file::sync_directory_of,
};

/// A longer line is no checkpoint.
const MAX_LINE: u64 = 4096;

/// A file of checkpoints, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Arc<File>,
    last: HashMap<Chain, i64>,
}

/// One line of the file.
pub(super) struct Line {
    pub(super) number: u64,
    /// What it says; `None` if it is no checkpoint.
    pub(super) checkpoint: Option<Checkpoint>,
}

/// A place in the file between two lines.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    offset: u64,
    line: u64,
}

impl Journal {
    /// Opens the file, made with mode 0600 if there is none, and reads how far it has come. What a crash left
    /// of an unfinished line is cut off.
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let opened = path.clone();
        let (file, last) = blocking(&path, move || open(&opened)).await?;
        Ok(Self { path, file: Arc::new(file), last })
    }

    /// The highest number written for a chain; 0 if there is none.
    pub(super) fn last(&self, chain: &Chain) -> i64 {
        self.last.get(chain).copied().unwrap_or(0)
    }

    /// Writes checkpoints, and waits until the disk has them.
    pub(super) async fn append(&mut self, checkpoints: &[Checkpoint]) -> Result<()> {
        let lines = checkpoints.iter().map(Checkpoint::to_line).collect::<Result<String>>()?;
        let file = self.file.clone();
        blocking(&self.path, move || {
            (&*file).write_all(lines.as_bytes())?;
            file.sync_data()
        })
        .await?;
        for checkpoint in checkpoints {
            self.last.insert(checkpoint.chain.clone(), checkpoint.seq);
        }
        Ok(())
    }
}

/// The next `limit` lines from `place` on, and the place behind them. An unfinished last line is left out:
/// someone may be writing it.
///
/// # Errors
/// `NotFound` if there is no such file.
pub(super) async fn lines(path: &Path, place: Place, limit: usize) -> Result<(Vec<Line>, Place)> {
    let read = path.to_owned();
    blocking(path, move || read_lines(&read, place, limit)).await
}

fn open(path: &Path) -> io::Result<(File, HashMap<Chain, i64>)> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    sync_directory_of(path)?;
    let (mut last, mut place) = (HashMap::new(), Place::default());
    loop {
        let (lines, next) = read_lines(path, place, 1000)?;
        if lines.is_empty() {
            break;
        }
        for checkpoint in lines.into_iter().filter_map(|line| line.checkpoint) {
            last.insert(checkpoint.chain, checkpoint.seq);
        }
        place = next;
    }
    if file.metadata()?.len() > place.offset {
        file.set_len(place.offset)?;
        file.sync_all()?;
    }
    Ok((file, last))
}

fn read_lines(path: &Path, mut place: Place, limit: usize) -> io::Result<(Vec<Line>, Place)> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(place.offset))?;
    let mut reader = BufReader::new(file);
    let mut lines = Vec::new();
    while lines.len() < limit {
        let mut text = Vec::new();
        let mut length = io::Read::take(&mut reader, MAX_LINE).read_until(b'\n', &mut text)? as u64;
        if length == MAX_LINE && !text.ends_with(b"\n") {
            text.clear();
            length += reader.skip_until(b'\n')? as u64;
        } else if !text.ends_with(b"\n") {
            break;
        }
        place = Place { offset: place.offset + length, line: place.line + 1 };
        lines.push(Line { number: place.line, checkpoint: serde_json::from_slice(&text).ok() });
    }
    Ok((lines, place))
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten();
    done.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        };
        let message = format!("the file of audit checkpoints {} cannot be read or written", path.display());
        Error::new(kind, "audit.checkpoint", message).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audit::AuditKey, clock::Timestamp};

    fn checkpoint(seq: i64) -> Checkpoint {
        let key = AuditKey::ephemeral().unwrap();
        Checkpoint::sign(&Chain::Platform, seq, [1; 32], Timestamp::from_micros(seq), &key)
    }

    #[tokio::test]
    async fn a_torn_line_is_cut_off_and_the_rest_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints.jsonl");
        let mut journal = Journal::open(&path).await.unwrap();
        journal.append(&[checkpoint(1), checkpoint(4)]).await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], &whole[..20]].concat()).unwrap();

        let (seen, _) = lines(&path, Place::default(), 9).await.unwrap();
        assert_eq!(seen.len(), 2, "a line that is being written was read");
        let mut journal = Journal::open(&path).await.unwrap();
        assert_eq!(journal.last(&Chain::Platform), 4);
        journal.append(&[checkpoint(5)]).await.unwrap();
        let (seen, _) = lines(&path, Place::default(), 9).await.unwrap();
        let seqs: Vec<_> = seen.iter().map(|line| line.checkpoint.as_ref().map(|c| c.seq)).collect();
        assert_eq!(seqs, [Some(1), Some(4), Some(5)]);
    }

    #[tokio::test]
    async fn lines_come_in_pages_and_long_ones_cost_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints.jsonl");
        let long = "x".repeat(3 * 4096);
        let text =
            format!("{}{long}\n{}", checkpoint(1).to_line().unwrap(), checkpoint(2).to_line().unwrap());
        std::fs::write(&path, text).unwrap();
        let (first, place) = lines(&path, Place::default(), 2).await.unwrap();
        let (rest, _) = lines(&path, place, 2).await.unwrap();
        assert!(first[0].checkpoint.is_some() && first[1].checkpoint.is_none());
        assert_eq!((rest.len(), rest[0].number), (1, 3));
    }
}
