//! How long a peer may be silent, and how slow.

use std::time::Duration;

use tokio::time::Instant;

use super::reject::Reject;

/// A peer that is silent for so long in the middle of a message is closed, but only while others wait for the memory that
/// the message takes. What it sent was never acknowledged, so a living peer sends it again.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// A message that takes longer than this has to come at [`RATE_MIN`] at least.
const MESSAGE_WITHIN: Duration = Duration::from_mins(1);
/// Bytes in a second; the slowest line that anybody sends logs over has more.
const RATE_MIN: u64 = 1024;

/// What one peer has done lately.
#[derive(Debug)]
pub(super) struct Patience {
    io_timeout: Option<Duration>,
    last_read: Instant,
    /// Since when a message is incomplete, the time not counted in which we did not read.
    incomplete_since: Option<Instant>,
}

impl Patience {
    /// For a peer that has just connected.
    pub(super) fn new(io_timeout: Option<Duration>) -> Self {
        Self {
            io_timeout,
            last_read: Instant::now(),
            incomplete_since: None,
        }
    }

    /// How long to wait for the peer before it is to be judged, with `held` bytes of a message there.
    pub(super) fn wait(&self, held: usize) -> Option<Duration> {
        match self.io_timeout {
            _ if held == 0 => self.io_timeout,
            Some(timeout) => Some(timeout.min(STALLED_AFTER)),
            None => Some(STALLED_AFTER),
        }
    }

    /// Judges a peer that let the wait pass.
    ///
    /// # Errors
    /// Why it has to go.
    pub(super) fn judge(&self, held: usize, is_memory_short: bool) -> Result<(), Reject> {
        let silent = self.last_read.elapsed();
        if held > 0 && is_memory_short && silent >= STALLED_AFTER {
            return Err(Reject::Stalled);
        }
        if self.io_timeout.is_some_and(|timeout| silent >= timeout) {
            return Err(Reject::Silent);
        }
        self.judge_pace(held, Instant::now())
    }

    /// Notes a read after which `held` bytes of a message are there, of another one than before if `is_next`; how long it is
    /// since the read before.
    ///
    /// # Errors
    /// When the message comes too slowly.
    pub(super) fn note_read(&mut self, held: usize, is_next: bool) -> Result<Duration, Reject> {
        let now = Instant::now();
        let since = now - self.last_read;
        self.last_read = now;
        if held == 0 {
            self.incomplete_since = None;
        } else if is_next || self.incomplete_since.is_none() {
            self.incomplete_since = Some(now);
        } else {
            self.judge_pace(held, now)?;
        }
        Ok(since)
    }

    /// Notes since when we have not been reading.
    pub(super) fn note_pause(&mut self, since: Instant) {
        let pause = since.elapsed();
        self.last_read += pause;
        if let Some(incomplete_since) = &mut self.incomplete_since {
            *incomplete_since += pause;
        }
    }

    fn judge_pace(&self, held: usize, now: Instant) -> Result<(), Reject> {
        let Some(since) = self.incomplete_since else {
            return Ok(());
        };
        let elapsed = now.saturating_duration_since(since);
        let is_slow = (held as u64) < elapsed.as_secs() * RATE_MIN;
        if elapsed >= MESSAGE_WITHIN && is_slow {
            return Err(Reject::Slow);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_message_that_trickles_in_is_given_up_after_a_minute() {
        let mut patience = Patience::new(None);
        for held in 1..=60 {
            assert!(patience.note_read(held, false).is_ok(), "{held}");
            assert!(patience.judge(held, false).is_ok(), "{held}");
            advance(SECOND).await;
        }
        assert_eq!(patience.judge(60, false), Err(Reject::Slow));
        assert_eq!(patience.note_read(61, false), Err(Reject::Slow));
        assert!(
            patience.note_read(1, true).is_ok(),
            "another message has another minute"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_message_may_take_its_time() {
        let mut patience = Patience::new(None);
        for second in 1..3600 {
            assert!(patience.note_read(second * 1100, false).is_ok());
            advance(SECOND).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_we_do_not_read_is_not_the_peers() {
        let mut patience = Patience::new(Some(10 * SECOND));
        patience.note_read(1, false).unwrap();
        let paused = Instant::now();
        advance(600 * SECOND).await;
        patience.note_pause(paused);
        assert_eq!(patience.judge(1, true), Ok(()));
        assert_eq!(patience.note_read(2, false), Ok(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_as_the_section_says_and_when_memory_is_short() {
        let mut patience = Patience::new(None);
        assert_eq!(patience.wait(0), None);
        assert_eq!(patience.wait(1), Some(STALLED_AFTER));
        patience.note_read(1, false).unwrap();
        advance(STALLED_AFTER).await;
        assert_eq!(patience.judge(1, true), Err(Reject::Stalled));
        assert_eq!(patience.judge(0, true), Ok(()));
        assert_eq!(patience.judge(1, false), Ok(()));

        let patience = Patience::new(Some(20 * SECOND));
        assert_eq!(patience.wait(0), Some(20 * SECOND));
        assert_eq!(patience.wait(1), Some(STALLED_AFTER));
        advance(19 * SECOND).await;
        assert_eq!(patience.judge(0, false), Ok(()));
        advance(SECOND).await;
        assert_eq!(patience.judge(0, false), Err(Reject::Silent));
    }
}
