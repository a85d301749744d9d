//! Images: pulled for each start, so that nobody runs another tenant's private image; and as whom they run.

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::TryStreamExt;

use super::engine::{Engine, error};
use super::spec::User;
use crate::backend::{BackendError, Isolation, ServiceSpec};

/// Makes sure that the service's image is here. Images of the operator's own list are taken as they are.
pub(super) async fn pull(
    engine: &Engine,
    service: &ServiceSpec,
    local_images: &[String],
) -> Result<(), BackendError> {
    if local_images.contains(&service.image) {
        return match engine.api.inspect_image(&service.image).await {
            Ok(_) => Ok(()),
            Err(cause) => match error(cause) {
                BackendError::Missing(_) => Err(BackendError::Refused(format!(
                    "the provider lists the image {} as its own, but does not have it",
                    service.image
                ))),
                other => Err(other),
            },
        };
    }
    let credentials = service.credentials.as_ref().map(|given| DockerCredentials {
        username: Some(given.username.clone()),
        password: Some(given.password.clone()),
        serveraddress: Some(given.host.clone()),
        ..Default::default()
    });
    let options = CreateImageOptionsBuilder::default()
        .from_image(&with_tag(&service.image))
        .build();
    let progress = engine.api.create_image(Some(options), None, credentials);
    let pulled = progress.try_for_each(|_| async { Ok(()) });
    match tokio::time::timeout(PULL_TIMEOUT, pulled).await {
        Ok(pulled) => pulled.map_err(|cause| not_pulled(&service.image, cause)),
        Err(_) => Err(BackendError::Engine(format!(
            "the image {} did not come within {} min",
            service.image,
            PULL_TIMEOUT.as_secs() / 60
        ))),
    }
}

/// How long an image may take to come. Its registry is the tenant's to choose, and may be as slow as it likes.
const PULL_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// What a registry says of an image that is not there or not for this tenant. Engines hand it on as text, with a status
/// of their own; everything else (a name that does not resolve, a registry that is down) may pass.
const FINAL: [&str; 8] = [
    "manifest unknown",
    "name unknown",
    "not found",
    "unauthorized",
    "denied",
    "invalid reference",
    "no image found",
    // Podman, of a name without a registry.
    "did not resolve to an alias",
];

fn not_pulled(image: &str, cause: bollard::errors::Error) -> BackendError {
    let text = format!("the image {image} cannot be pulled: {cause}");
    match error(cause) {
        BackendError::Unreachable(why) => BackendError::Unreachable(why),
        _ if FINAL.iter().any(|word| text.to_lowercase().contains(word)) => {
            BackendError::Refused(text)
        }
        _ => BackendError::Engine(text),
    }
}

/// The reference with `:latest` where it names neither tag nor digest; without one, engines pull every tag.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') {
        return image.to_owned();
    }
    format!("{image}:latest")
}

/// As whom the service's image runs under this isolation.
///
/// # Errors
/// [`BackendError::Refused`] where the image is root's and the isolation does not allow that.
pub(super) async fn user(
    engine: &Engine,
    service: &ServiceSpec,
    isolation: Isolation,
) -> Result<User, BackendError> {
    if isolation != Isolation::Restricted {
        return Ok(User::FromImage);
    }
    let image = engine
        .api
        .inspect_image(&service.image)
        .await
        .map_err(error)?;
    let declared = image
        .config
        .and_then(|config| config.user)
        .unwrap_or_default();
    number_of(&declared).map(User::Number).ok_or_else(|| {
        BackendError::Refused(format!(
            "the image {} runs as {}, and this provider (isolation=restricted) runs images with a numeric user other \
             than 0; set `USER 1000` in its Dockerfile, or choose a provider with isolation=userns or gvisor",
            service.image,
            if declared.is_empty() { "root".to_owned() } else { format!("{declared:?}") }
        ))
    })
}

/// The user's number where it is one and is not root's. A name could stand for root in the image's own /etc/passwd.
fn number_of(declared: &str) -> Option<u32> {
    let user = declared.split(':').next().unwrap_or_default();
    user.parse().ok().filter(|number| *number != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_a_tag_means_latest() {
        for (image, expected) in [
            ("nginx", "nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("host:5000/a/b", "host:5000/a/b:latest"),
            ("a/b@sha256:00", "a/b@sha256:00"),
        ] {
            assert_eq!(with_tag(image), expected);
        }
    }

    #[test]
    fn a_registry_that_is_down_may_come_back_and_an_image_that_is_not_there_does_not() {
        let failed = |message: &str| {
            let cause = bollard::errors::Error::DockerResponseServerError {
                status_code: 500,
                message: message.to_owned(),
            };
            not_pulled("host:5000/a", cause)
        };
        for passing in [
            "dial tcp 10.0.0.1:5000: connect: connection refused",
            "lookup registry.example: no such host",
            "received unexpected HTTP status: 503 Service Unavailable",
        ] {
            assert!(
                matches!(failed(passing), BackendError::Engine(_)),
                "{passing}"
            );
        }
        for last in [
            "reading manifest latest in host:5000/a: manifest unknown",
            "unauthorized: access to the requested resource is not authorized",
            "requested access to the resource is denied",
            "short-name \"nothing\" did not resolve to an alias and no unqualified-search registries are defined",
        ] {
            assert!(matches!(failed(last), BackendError::Refused(_)), "{last}");
        }
    }

    #[test]
    fn only_a_number_other_than_zero_is_surely_not_root() {
        for declared in [
            "",
            "0",
            "root",
            "0:1000",
            "app",
            "-1",
            "00",
            "4294967296",
            " 1",
        ] {
            assert_eq!(number_of(declared), None, "{declared:?}");
        }
        assert_eq!(number_of("1000"), Some(1000));
        assert_eq!(number_of("65534:0"), Some(65534));
    }
}
