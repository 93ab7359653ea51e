//! Log lines without personal data and secrets.

use std::{fmt, io, sync::Arc};

use tracing_subscriber::fmt::MakeWriter;

use crate::redact::LogRedactor;

/// Makes writers that redact each line before another writer gets it, for any subscriber of
/// `tracing_subscriber`: `fmt().with_writer(RedactingLogs::new(std::io::stderr, redactor))`.
pub struct RedactingLogs<M> {
    inner: M,
    redactor: Arc<dyn LogRedactor>,
}

impl<M> RedactingLogs<M> {
    /// Redacts what goes to the writers that `inner` makes.
    #[must_use]
    pub fn new(inner: M, redactor: Arc<dyn LogRedactor>) -> Self {
        Self { inner, redactor }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for RedactingLogs<M> {
    type Writer = RedactingWriter<'a, M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactingWriter { inner: self.inner.make_writer(), redactor: &*self.redactor }
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        RedactingWriter { inner: self.inner.make_writer_for(meta), redactor: &*self.redactor }
    }
}

impl<M> fmt::Debug for RedactingLogs<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedactingLogs({:?})", self.redactor)
    }
}

/// Redacts what is written in one call, which must be whole lines: subscribers write an event at once.
pub struct RedactingWriter<'a, W> {
    inner: W,
    redactor: &'a dyn LogRedactor,
}

impl<W: io::Write> io::Write for RedactingWriter<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.inner.write_all(self.redactor.redact_line(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W> fmt::Debug for RedactingWriter<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedactingWriter")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        borrow::Cow,
        io::Write,
        sync::{Mutex, PoisonError},
    };

    use super::*;

    #[derive(Debug)]
    struct NoDigits;

    impl LogRedactor for NoDigits {
        fn redact_line<'t>(&self, line: &'t str) -> Cow<'t, str> {
            line.replace(|letter: char| letter.is_ascii_digit(), "#").into()
        }
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn messages_fields_and_spans_are_redacted_before_they_are_written() {
        let kept = Kept::default();
        let sink = kept.clone();
        let writer = RedactingLogs::new(move || sink.clone(), Arc::new(NoDigits));
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(writer).finish();
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("request", caller = "caller-111").entered();
            tracing::info!(code = 222, "message 333");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        for part in ["caller-###", "code=###", "message ###"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains(|letter: char| letter.is_ascii_digit()), "{text}");
    }
}
