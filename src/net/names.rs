//! Names to addresses, on a thread of their own; where the name server is silent, the last answer still counts.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long to wait for a new answer where there is an old one.
const PATIENCE: Duration = Duration::from_secs(2);
/// More hosts than an output talks to.
const HOSTS_MAX: usize = 64;

/// The last answers.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: Mutex<HashMap<(String, u16), Vec<SocketAddr>>>,
}

impl Names {
    /// The addresses of a host. The system asks; this waits without holding up a thread of ours.
    ///
    /// # Errors
    /// The system's, where no answer is remembered.
    pub(super) async fn find(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let key = (host.to_owned(), port);
        let old = self.lock().get(&key).cloned();
        let lookup = tokio::net::lookup_host((host, port));
        let answer = match &old {
            Some(_) => tokio::time::timeout(PATIENCE, lookup)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            None => lookup.await,
        };
        let answer: io::Result<Vec<SocketAddr>> = answer.map(Iterator::collect);
        self.settle(key, answer, old)
    }

    /// Remembers a good answer; the old one stands in for a bad one.
    fn settle(
        &self,
        key: (String, u16),
        answer: io::Result<Vec<SocketAddr>>,
        old: Option<Vec<SocketAddr>>,
    ) -> io::Result<Vec<SocketAddr>> {
        match (answer, old) {
            (Ok(found), _) if !found.is_empty() => {
                let mut known = self.lock();
                if known.len() >= HOSTS_MAX && !known.contains_key(&key) {
                    known.clear();
                }
                known.insert(key, found.clone());
                Ok(found)
            }
            (_, Some(old)) => Ok(old),
            (Ok(_), None) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            )),
            (Err(error), None) => Err(error),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, u16), Vec<SocketAddr>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (String, u16) {
        ("a.test".to_owned(), 1)
    }

    #[test]
    fn the_last_answer_stands_in_for_one_that_fails() {
        let names = Names::default();
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let failed = || Err(io::ErrorKind::TimedOut.into());
        assert!(names.settle(key(), failed(), None).is_err());
        assert_eq!(
            names.settle(key(), Ok(vec![address]), None).unwrap(),
            [address]
        );
        let old = names.lock().get(&key()).cloned();
        assert_eq!(
            names.settle(key(), failed(), old.clone()).unwrap(),
            [address]
        );
        assert_eq!(names.settle(key(), Ok(Vec::new()), old).unwrap(), [address]);
        assert!(names.settle(key(), Ok(Vec::new()), None).is_err());
    }

    #[test]
    fn hosts_beyond_the_limit_do_not_grow_it() {
        let names = Names::default();
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        for host in 0..3 * HOSTS_MAX {
            names
                .settle((host.to_string(), 1), Ok(vec![address]), None)
                .unwrap();
            assert!(names.lock().len() <= HOSTS_MAX);
        }
    }
}
