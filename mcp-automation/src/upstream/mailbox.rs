//! What a server sends to one call, in order.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use mcp_core::Result;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::Reply;

/// Messages a call may have waiting. Progress beyond it is dropped, requests beyond it are refused: a caller
/// that does not read must not hold up the connection.
const CAPACITY: usize = 256;

/// One message to a call.
#[derive(Debug)]
pub(crate) enum Letter {
    Notification { method: String, params: Option<Box<RawValue>> },
    Request { id: Box<RawValue>, method: String, params: Option<Box<RawValue>> },
    End(Result<Reply>),
}

/// A bounded queue with one reader. Cheaper per call than a channel: nothing is allocated until a message
/// comes.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    letters: Mutex<VecDeque<Letter>>,
    bell: Notify,
}

impl Mailbox {
    /// Puts a letter in, or gives it back when the box is full. The end of a call always has room.
    pub(crate) fn put(&self, letter: Letter) -> std::result::Result<(), Letter> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if letters.len() >= CAPACITY && !matches!(letter, Letter::End(_)) {
            return Err(letter);
        }
        letters.push_back(letter);
        drop(letters);
        self.bell.notify_one();
        Ok(())
    }

    /// The next letter.
    ///
    /// # Cancellation
    /// Safe: a letter is taken out only when it is returned.
    pub(crate) async fn take(&self) -> Letter {
        loop {
            let letter = self.letters.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match letter {
                Some(letter) => return letter,
                None => self.bell.notified().await,
            }
        }
    }
}
