//! `aws`: appends what an EC2 instance knows about itself.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `imds_version` | `v2` | `v1`: ask without a token |
//! | `az`, `ec2_instance_id` | on | append the key of that name |
//! | `ec2_instance_type`, `private_ip`, `vpc_id`, `ami_id`, `account_id`, `hostname` | off | likewise |
//! | `tags_enabled` | off | append a key for each tag of the instance |
//! | `tags_include`, `tags_exclude` | | lists with commas: only these tags, or all but these |
//! | `enable_entity` | off | append `aws_entity_ec2_instance_id` and `aws_entity_account_id` |
//! | `retry_interval_s` | 300 | the longest pause between questions that fail, in seconds |
//! | `metadata_wait` | 3 | seconds that the first events wait for the answer |
//!
//! What could not be asked for is left out, and every event passes. The service is found where the AWS SDKs find it:
//! `AWS_EC2_METADATA_SERVICE_ENDPOINT`, or 169.254.169.254.
//! <https://docs.fluentbit.io/manual/pipeline/filters/aws-metadata>

mod imds;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use self::imds::{Imds, Instance, Wanted};
use super::lookup::{Decorator, Lookup, Patient, Terms, Watched, wait};
use super::operator::{MakeOperator, Operator};
use super::{Means, Verdict, View};
use crate::config::Settings;
use crate::event::Block;

const COMPONENT: &str = "filter:aws";
/// All questions of one attempt have to be answered by then.
const DEADLINE: Duration = Duration::from_secs(20);
/// As Fluent Bit's `retry_interval_s`.
const RETRY_INTERVAL_S: i64 = 300;

struct Maker {
    lookup: Lookup<Imds>,
    /// Keeps what is known, and has it asked for before the first event comes.
    instance: Watched<Instance>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, means: Means<'_>) -> Box<dyn MakeOperator> {
    let version = settings.choice("imds_version", &["v1", "v2"]);
    let wanted = Wanted::read(settings);
    let interval = settings
        .integer_in("retry_interval_s", 1..=86_400)
        .unwrap_or(RETRY_INTERVAL_S);
    let terms = Terms {
        wait: wait(settings),
        deadline: DEADLINE,
        retry_max: Duration::from_secs(interval.unsigned_abs()),
        ttl: None,
        absent_ttl: Duration::from_secs(interval.unsigned_abs()),
        absent_max: 1,
    };
    let imds = Imds::new(means.variables, version != Some("v1"), wanted);
    let lookup = Lookup::new(imds, terms, COMPONENT);
    let instance = lookup.watch_alone(&());
    Box::new(Maker { lookup, instance })
}

impl MakeOperator for Maker {
    fn operator(&self, tag: &[u8]) -> Box<dyn Operator> {
        let aws = Aws {
            instance: self.instance.clone(),
            known: None,
        };
        Box::new(Patient::new(aws, tag))
    }

    fn task(&self) -> Option<BoxFuture<'static, ()>> {
        Some(Box::pin(self.lookup.clone().run()))
    }
}

struct Aws {
    instance: Watched<Instance>,
    known: Option<Arc<Instance>>,
}

impl Decorator for Aws {
    fn ready(&mut self, _: &Block) -> Option<BoxFuture<'static, ()>> {
        self.instance.ready()
    }

    fn waits_until(&mut self, _: &View<'_>) -> Option<Instant> {
        self.instance.waits_until()
    }

    fn decorate(&mut self, event: &mut View<'_>) -> (Verdict, bool) {
        if self.instance.has_changed() {
            self.known = self.instance.take();
        }
        if let Some(instance) = &self.known {
            for (key, value) in &instance.pairs {
                event.push_encoded(key, value);
            }
        }
        (Verdict::Keep, self.known.is_some())
    }
}
