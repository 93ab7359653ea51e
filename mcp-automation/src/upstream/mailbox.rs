//! What a server sends to one call, in order.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use mcp_core::{Error, Result};
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::Reply;

/// Messages a call may have waiting. Progress beyond it is dropped, requests beyond it are refused: a caller
/// that does not read must not hold up the connection.
const CAPACITY: usize = 256;
/// Bytes a call may have waiting, beyond which it fails. One message alone is held to its own limit.
const BYTES: usize = 16 << 20;

/// One message to a call.
#[derive(Debug)]
pub(crate) enum Letter {
    Notification { method: String, params: Option<Box<RawValue>> },
    Request { id: Box<RawValue>, method: String, params: Option<Box<RawValue>> },
    End(Result<Reply>),
}

impl Letter {
    /// Bytes that stay in memory while it waits. The end is one message, held to its own limit.
    fn size(&self) -> usize {
        let length = |params: &Option<Box<RawValue>>| params.as_ref().map_or(0, |params| params.get().len());
        match self {
            Self::Notification { method, params } => method.len() + length(params),
            Self::Request { id, method, params } => id.get().len() + method.len() + length(params),
            Self::End(_) => 0,
        }
    }
}

/// Why a letter was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Too many wait.
    Letters,
    /// Those that wait are too long.
    Bytes,
}

/// A bounded queue with one reader. Cheaper per call than a channel: nothing is allocated until a message
/// comes.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    letters: VecDeque<Letter>,
    bytes: usize,
}

impl Mailbox {
    /// Puts a letter in. The end of a call always has room.
    ///
    /// # Errors
    /// [`Full`], with the letter dropped.
    pub(crate) fn put(&self, letter: Letter) -> std::result::Result<(), Full> {
        let size = letter.size();
        let mut waiting = self.waiting();
        if !matches!(letter, Letter::End(_)) {
            if waiting.letters.len() >= CAPACITY {
                return Err(Full::Letters);
            }
            if waiting.bytes > 0 && waiting.bytes + size > BYTES {
                return Err(Full::Bytes);
            }
        }
        waiting.bytes += size;
        waiting.letters.push_back(letter);
        drop(waiting);
        self.bell.notify_one();
        Ok(())
    }

    /// Ends the call with an error, and forgets what waits.
    pub(crate) fn fail(&self, error: Error) {
        *self.waiting() = Waiting { letters: VecDeque::from([Letter::End(Err(error))]), bytes: 0 };
        self.bell.notify_one();
    }

    /// The next letter.
    ///
    /// # Cancellation
    /// Safe: a letter is taken out only when it is returned.
    pub(crate) async fn take(&self) -> Letter {
        loop {
            if let Some(letter) = self.take_now() {
                return letter;
            }
            self.bell.notified().await;
        }
    }

    fn take_now(&self) -> Option<Letter> {
        let mut waiting = self.waiting();
        let letter = waiting.letters.pop_front()?;
        waiting.bytes -= letter.size();
        Some(letter)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_length(length: usize) -> Letter {
        let text = serde_json::value::to_raw_value(&"x".repeat(length - 2)).unwrap();
        Letter::Notification { method: String::new(), params: Some(text) }
    }

    #[tokio::test]
    async fn bytes_that_wait_are_bounded_and_given_back() {
        let mailbox = Mailbox::default();
        for _ in 0..4 {
            mailbox.put(of_length(BYTES / 4)).unwrap();
        }
        assert_eq!(mailbox.put(of_length(2)), Err(Full::Bytes));
        mailbox.take().await;
        mailbox.put(of_length(BYTES / 4)).unwrap();
        for _ in 0..4 {
            mailbox.take().await;
        }
        // A single message may be as long as the connection lets it.
        mailbox.put(of_length(BYTES + 1)).unwrap();
        assert_eq!(mailbox.put(of_length(2)), Err(Full::Bytes));
        mailbox.fail(Error::internal("test", "over"));
        assert!(matches!(mailbox.take().await, Letter::End(Err(_))));
        assert!(mailbox.take_now().is_none());
    }
}
