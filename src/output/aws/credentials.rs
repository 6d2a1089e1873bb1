//! Credentials, held for all outputs of one identity.
//!
//! They are loaded when they are first needed, and again ahead of their end while the old ones still serve: a request waits for a load
//! only where there are none that are good. A load that fails is tried again later; until their end the last ones are used.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

/// Credentials are loaded anew at most so long before their end, less some jitter.
const LEAD_MAX: Duration = Duration::from_mins(5);
/// A load that failed is not tried again before this.
const PATIENCE: Duration = Duration::from_secs(5);
/// Credentials that end within this are not used any more: the request takes a moment to arrive.
const MARGIN: Duration = Duration::from_secs(2);
/// Credentials that a service refuses are loaded anew at most this often.
const RENEW_INTERVAL: Duration = Duration::from_mins(1);

/// The credentials of one identity.
#[derive(Debug)]
pub(super) struct Vault {
    source: SharedCredentialsProvider,
    held: Mutex<Held>,
    /// One load at a time.
    loading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Held {
    credentials: Option<Credentials>,
    /// Counts the loads that succeeded.
    generation: u64,
    /// When to load ahead of their end; `None` for credentials without one.
    refresh_at: Option<SystemTime>,
    loaded: Option<Instant>,
    tried: Option<Instant>,
}

/// The vaults in use, by what tells identities apart.
static VAULTS: LazyLock<Mutex<HashMap<String, Weak<Vault>>>> = LazyLock::new(Mutex::default);

impl Vault {
    /// The vault of an identity; `source` is taken if there is none yet.
    pub(super) fn of(identity: &str, source: SharedCredentialsProvider) -> Arc<Self> {
        let mut vaults = VAULTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vault) = vaults.get(identity).and_then(Weak::upgrade) {
            return vault;
        }
        vaults.retain(|_, vault| vault.strong_count() > 0);
        let vault = Arc::new(Self::new(source));
        vaults.insert(identity.to_owned(), Arc::downgrade(&vault));
        vault
    }

    fn new(source: SharedCredentialsProvider) -> Self {
        Self {
            source,
            held: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells one set of credentials from the next, for [`Vault::renew`].
    pub(super) fn generation(&self) -> u64 {
        self.held().generation
    }

    /// The credentials.
    ///
    /// # Errors
    /// What the chain says where there are none that are still good.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Credentials, CredentialsError> {
        let now = SystemTime::now();
        let (good, is_due) = {
            let held = self.held();
            let is_due = held.refresh_at.is_some_and(|at| at <= now)
                && held.tried.is_none_or(|tried| tried.elapsed() >= PATIENCE);
            (held.good(now), is_due)
        };
        let Some(credentials) = good else {
            return self.load_unless(|held| held.good(SystemTime::now())).await;
        };
        if is_due && let Ok(handle) = tokio::runtime::Handle::try_current() {
            self.held().tried = Some(Instant::now());
            let vault = Arc::clone(self);
            handle.spawn(async move { vault.load_ahead().await });
        }
        Ok(credentials)
    }

    async fn load_ahead(&self) {
        let generation = self.generation();
        let is_newer =
            |held: &Held| (held.generation != generation).then(|| held.credentials.clone());
        if let Err(error) = self.load_unless(|held| is_newer(held).flatten()).await {
            crate::warning!(
                "output:aws",
                "cannot refresh the credentials, those held are used until they expire: {error}"
            );
        }
    }

    /// Loads, after those who load already, unless `found` is there by then.
    async fn load_unless(
        &self,
        found: impl Fn(&Held) -> Option<Credentials>,
    ) -> Result<Credentials, CredentialsError> {
        let _single_flight = self.loading.lock().await;
        if let Some(credentials) = found(&self.held()) {
            return Ok(credentials);
        }
        self.held().tried = Some(Instant::now());
        let credentials = self.source.provide_credentials().await?;
        if has_ended(&credentials, SystemTime::now()) {
            // The SDK answers with its last ones when the instance's metadata cannot be had.
            let message = "those that can be had have ended";
            return Err(CredentialsError::provider_error(message));
        }
        let mut held = self.held();
        held.loaded = Some(Instant::now());
        if held
            .credentials
            .as_ref()
            .is_some_and(|old| is_same(old, &credentials))
        {
            return Ok(credentials);
        }
        held.generation += 1;
        held.refresh_at = credentials
            .expiry()
            .map(|end| refresh_at(SystemTime::now(), end, fastrand::f64()));
        held.credentials = Some(credentials.clone());
        Ok(credentials)
    }

    /// Loads anew because a service refuses the credentials of a generation; whether there are others now, so that the request may be
    /// sent once more.
    pub(super) async fn renew(&self, refused: u64) -> bool {
        {
            let held = self.held();
            if held.generation != refused {
                return true;
            }
            if held
                .loaded
                .is_some_and(|loaded| loaded.elapsed() < held.renew_interval())
            {
                return false;
            }
        }
        let is_newer = |held: &Held| (held.generation != refused).then(|| held.credentials.clone());
        match self.load_unless(|held| is_newer(held).flatten()).await {
            // The same ones again would be refused again.
            Ok(_) => self.generation() != refused,
            Err(error) => {
                crate::warning!("output:aws", "cannot renew the credentials: {error}");
                false
            }
        }
    }
}

impl Held {
    fn good(&self, now: SystemTime) -> Option<Credentials> {
        self.credentials
            .as_ref()
            .filter(|credentials| !has_ended(credentials, now + MARGIN))
            .cloned()
    }

    /// Credentials that live shorter than usual may be renewed more often.
    fn renew_interval(&self) -> Duration {
        let lead = self.refresh_at.and_then(|at| {
            let end = self.credentials.as_ref()?.expiry()?;
            end.duration_since(at).ok()
        });
        lead.map_or(RENEW_INTERVAL, |lead| lead.min(RENEW_INTERVAL))
    }
}

fn has_ended(credentials: &Credentials, now: SystemTime) -> bool {
    credentials.expiry().is_some_and(|end| end <= now)
}

fn is_same(one: &Credentials, other: &Credentials) -> bool {
    one.access_key_id() == other.access_key_id() && one.session_token() == other.session_token()
}

/// When to load ahead of `end`: in the last quarter of the time left and in the last five minutes, `fraction` of 0..1 being the jitter
/// that keeps a fleet from asking all at once.
fn refresh_at(now: SystemTime, end: SystemTime, fraction: f64) -> SystemTime {
    let left = end.duration_since(now).unwrap_or_default();
    let lead = (left / 4).min(LEAD_MAX);
    end - lead.mul_f64(0.5 + fraction.clamp(0.0, 1.0) / 2.0)
}

/// A vault as the SDK wants it.
#[derive(Debug)]
pub(super) struct Provider(pub(super) Arc<Vault>);

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.0.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Gives credentials of so many seconds, each load a new key; none while it is told to fail.
    #[derive(Debug, Clone, Default)]
    struct Source(Arc<(AtomicU64, AtomicU64, std::sync::atomic::AtomicBool)>);

    impl Source {
        fn living(seconds: u64) -> Self {
            let source = Self::default();
            source.0.1.store(seconds, Ordering::SeqCst);
            source
        }

        fn vault(&self) -> Arc<Vault> {
            Arc::new(Vault::new(SharedCredentialsProvider::new(self.clone())))
        }

        fn loads(&self) -> u64 {
            self.0.0.load(Ordering::SeqCst)
        }

        fn fail(&self, fail: bool) {
            self.0.2.store(fail, Ordering::SeqCst);
        }
    }

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            if self.0.2.load(Ordering::SeqCst) {
                return future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("no")));
            }
            let number = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
            let lived = self.0.1.load(Ordering::SeqCst);
            let end = SystemTime::now() + Duration::from_secs(lived);
            let credentials = Credentials::new(format!("AK{number}"), "s", None, Some(end), "test");
            future::ProvideCredentials::ready(Ok(credentials))
        }
    }

    /// Checklist: outputs 35
    #[tokio::test]
    async fn many_requests_share_one_load() {
        let source = Source::living(3600);
        let vault = source.vault();
        for _ in 0..10 {
            assert_eq!(vault.get().await.unwrap().access_key_id(), "AK1");
        }
        assert_eq!(source.loads(), 1);
    }

    /// Checklist: outputs 35
    #[tokio::test]
    async fn what_is_refused_is_renewed_once_and_not_at_once_again() {
        let source = Source::living(3600);
        let vault = source.vault();
        vault.get().await.unwrap();
        let refused = vault.generation();
        assert!(
            !vault.renew(refused).await,
            "just loaded, so it would not help"
        );
        vault.held().loaded = Instant::now().checked_sub(RENEW_INTERVAL);
        assert!(vault.renew(refused).await);
        assert!(vault.renew(refused).await, "somebody else has renewed them");
        assert_eq!(
            (source.loads(), vault.get().await.unwrap().access_key_id()),
            (2, "AK2")
        );
    }

    #[tokio::test]
    async fn the_last_good_ones_serve_until_they_expire() {
        let source = Source::living(3600);
        let vault = source.vault();
        vault.get().await.unwrap();
        source.fail(true);
        vault.held().refresh_at = Some(SystemTime::now());
        vault.held().tried = None;
        assert_eq!(vault.get().await.unwrap().access_key_id(), "AK1");
        vault.load_ahead().await;
        assert_eq!(vault.get().await.unwrap().access_key_id(), "AK1");
        let expired = Credentials::new("AK0", "s", None, Some(SystemTime::now()), "test");
        vault.held().credentials = Some(expired);
        assert!(vault.get().await.is_err());
        source.fail(false);
        assert_eq!(vault.get().await.unwrap().access_key_id(), "AK2");
    }

    /// Gives the same credentials over and over.
    #[derive(Debug)]
    struct Stubborn(Credentials);

    impl ProvideCredentials for Stubborn {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Ok(self.0.clone()))
        }
    }

    fn stubborn(end: SystemTime) -> Arc<Vault> {
        let credentials = Credentials::new("AK1", "s", None, Some(end), "test");
        let source = SharedCredentialsProvider::new(Stubborn(credentials));
        Arc::new(Vault::new(source))
    }

    #[tokio::test]
    async fn a_source_that_has_only_those_that_have_ended_has_none() {
        let vault = stubborn(SystemTime::now() - Duration::from_secs(1));
        assert!(vault.get().await.is_err());
    }

    #[tokio::test]
    async fn the_same_ones_again_are_no_reason_to_ask_again() {
        let vault = stubborn(SystemTime::now() + Duration::from_hours(1));
        vault.get().await.unwrap();
        vault.held().loaded = Instant::now().checked_sub(RENEW_INTERVAL);
        assert!(!vault.renew(vault.generation()).await);
    }

    #[tokio::test]
    async fn those_that_end_before_a_request_arrives_are_not_used() {
        let source = Source::living(3600);
        let vault = source.vault();
        vault.get().await.unwrap();
        let soon = SystemTime::now() + MARGIN / 2;
        vault.held().credentials = Some(Credentials::new("AK0", "s", None, Some(soon), "test"));
        assert_eq!(vault.get().await.unwrap().access_key_id(), "AK2");
    }

    #[tokio::test]
    async fn those_about_to_end_are_loaded_ahead() {
        let source = Source::living(3600);
        let vault = source.vault();
        vault.get().await.unwrap();
        vault.load_ahead().await;
        assert_eq!(
            (source.loads(), vault.get().await.unwrap().access_key_id()),
            (2, "AK2")
        );
    }

    /// Checklist: outputs 39; firelens 32
    #[test]
    fn the_refresh_comes_ahead_of_the_end_and_is_spread() {
        let now = SystemTime::UNIX_EPOCH;
        let at = |life: u64, fraction| {
            let end = now + Duration::from_secs(life);
            refresh_at(now, end, fraction)
                .duration_since(now)
                .unwrap()
                .as_secs_f64()
        };
        assert_eq!((at(3600, 0.0), at(3600, 1.0)), (3450.0, 3300.0));
        assert_eq!((at(60, 0.0), at(60, 1.0)), (52.5, 45.0));
    }

    #[test]
    fn an_identity_has_one_vault() {
        let source = || SharedCredentialsProvider::new(Source::default());
        let one = Vault::of("one", source());
        assert!(Arc::ptr_eq(&one, &Vault::of("one", source())));
        assert!(!Arc::ptr_eq(&one, &Vault::of("two", source())));
    }
}
