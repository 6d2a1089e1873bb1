//! Which region: the setting, else the environment, else the task's ARN, else the profile, else the instance.

use std::sync::Arc;

use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::task::Metadata;
use crate::config::{Settings, Variables};

/// Where the region comes from.
#[derive(Debug, Clone)]
pub(in crate::output) enum RegionSource {
    /// It is known.
    Known(String),
    /// It has to be asked for.
    Asked(Option<Arc<Metadata>>),
}

impl RegionSource {
    /// Reads the setting, and the variables that stand in for it. A region that nobody could tell is an error.
    pub(in crate::output) fn read(settings: &mut Settings<'_>, key: &'static str) -> Self {
        let variables = Variables::from_process();
        let given = settings.text(key).or_else(|| of_environment(&variables));
        if let Some(region) = given {
            return Self::Known(region);
        }
        let metadata = Metadata::of(&variables);
        if metadata.is_none() && !somebody_may_know(&variables) {
            let subject = settings.subject();
            settings.error(
                key,
                format!("missing or empty; {subject} needs it, here or in AWS_REGION"),
            );
        }
        Self::Asked(metadata.map(Arc::new))
    }

    /// The region, where it is known already. One that has to be asked for is the same for all.
    pub(super) fn known(&self) -> Option<&str> {
        match self {
            Self::Known(region) => Some(region),
            Self::Asked(_) => None,
        }
    }

    /// The region; the instance is asked through `http`.
    ///
    /// # Errors
    /// When nobody knows it now.
    pub(super) async fn find(
        &self,
        profile: Option<&str>,
        http: SharedHttpClient,
    ) -> Result<String, String> {
        let metadata = match self {
            Self::Known(region) => return Ok(region.clone()),
            Self::Asked(metadata) => metadata,
        };
        if let Some(metadata) = metadata
            && let Some(region) = metadata.task().await?.region()
        {
            return Ok(region.to_owned());
        }
        let config = ProviderConfig::without_region().with_http_client(http);
        let mut of_profile = ProfileFileRegionProvider::builder().configure(&config);
        if let Some(profile) = profile {
            of_profile = of_profile.profile_name(profile);
        }
        let of_instance = ImdsRegionProvider::builder().configure(&config);
        let chain = RegionProviderChain::first_try(of_profile.build());
        let region = chain.or_else(of_instance.build()).region().await;
        region
            .map(|region| region.as_ref().to_owned())
            .ok_or_else(|| "the region is not known; set it, or AWS_REGION".to_owned())
    }
}

fn of_environment(variables: &Variables) -> Option<String> {
    let mut given = ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .iter()
        .filter_map(|name| variables.get(name));
    given.find(|region| !region.is_empty()).map(str::to_owned)
}

/// Whether a profile or an EC2 instance might tell the region; asking them is left for later.
fn somebody_may_know(variables: &Variables) -> bool {
    let config = variables
        .get("AWS_CONFIG_FILE")
        .map(str::to_owned)
        .or_else(|| Some(format!("{}/.aws/config", variables.get("HOME")?)));
    let has_profiles = config.is_some_and(|file| std::path::Path::new(&file).exists());
    let may_ask = variables
        .get("AWS_EC2_METADATA_DISABLED")
        .is_none_or(|word| !word.eq_ignore_ascii_case("true"));
    let is_instance = std::fs::read_to_string("/sys/class/dmi/id/sys_vendor")
        .is_ok_and(|vendor| vendor.starts_with("Amazon EC2"));
    has_profiles || may_ask && is_instance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    /// Checklist: outputs 40
    #[test]
    fn the_environment_stands_in_for_the_setting() {
        let of =
            |pairs: &[(&str, &str)]| of_environment(&Variables::from_pairs(pairs.iter().copied()));
        assert_eq!(
            of(&[("AWS_REGION", "a"), ("AWS_DEFAULT_REGION", "b")]).as_deref(),
            Some("a")
        );
        assert_eq!(
            of(&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "b")]).as_deref(),
            Some("b")
        );
        assert_eq!(of(&[]), None);
    }

    /// Checklist: outputs 40
    #[test]
    fn the_setting_wins() {
        let (source, problems) = configured(&[("region", "eu-west-1")], |settings| {
            RegionSource::read(settings, "region")
        });
        assert_eq!(problems, [""; 0]);
        assert_eq!(source.known(), Some("eu-west-1"));
    }

    #[test]
    fn a_folder_with_profiles_may_know_the_region() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let variables =
            || Variables::from_pairs([("HOME", home), ("AWS_EC2_METADATA_DISABLED", "true")]);
        assert!(!somebody_may_know(&variables()));
        std::fs::create_dir(folder.path().join(".aws")).unwrap();
        std::fs::write(folder.path().join(".aws/config"), "").unwrap();
        assert!(somebody_may_know(&variables()));
    }
}
