//! What is asked of the API server, and what its answers mean.

use std::fmt::Debug;
use std::path::Path;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::names::{FIELD_MANAGER, label};
use crate::backend::{BackendError, Instance};

/// Objects in one answer of a list.
const PAGE: u32 = 500;

/// An object that lives in a namespace.
pub trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + DeserializeOwned
    + Serialize
    + Debug
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Serialize
        + Debug
{
}

/// Connects to the cluster that the file names, or, without one, to the cluster that this program runs in.
///
/// # Errors
/// [`BackendError::Unreachable`] with what is wrong with the file, or with the cluster's answer.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, BackendError> {
    let config = match kubeconfig {
        Some(path) => {
            let broken = |cause: &dyn std::fmt::Display| {
                BackendError::Unreachable(format!("the kubeconfig {}: {cause}", path.display()))
            };
            let file = Kubeconfig::read_from(path).map_err(|cause| broken(&cause))?;
            let options = KubeConfigOptions::default();
            kube::Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(|cause| broken(&cause))?
        }
        None => kube::Config::incluster().map_err(|cause| {
            BackendError::Unreachable(format!(
                "{cause}; outside a cluster name a file with `kubeconfig` in `[kubernetes]`"
            ))
        })?,
    };
    let client = Client::try_from(config).map_err(error)?;
    client.apiserver_version().await.map_err(error)?;
    Ok(client)
}

/// What the API server's refusal means for whoever asked.
pub fn error(cause: kube::Error) -> BackendError {
    match cause {
        kube::Error::Api(status) => match status.code {
            404 => BackendError::Missing(status.message),
            400 | 422 => {
                BackendError::Refused(format!("the cluster refuses it: {}", status.message))
            }
            _ => BackendError::Engine(status.message),
        },
        other => BackendError::Unreachable(chain(&other)),
    }
}

/// An error with its causes, which the library's own text leaves out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

/// Makes the object what it is here; fields that others own in it are taken over.
///
/// # Errors
/// [`BackendError`]
pub async fn apply<K>(api: &Api<K>, object: &K) -> Result<K, BackendError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
{
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&object.name_any(), &params, &Patch::Apply(object))
        .await
        .map_err(error)
}

/// Everything of a kind that carries the instance's label.
///
/// # Errors
/// [`BackendError`]; there is no half an answer.
pub async fn list<K>(api: &Api<K>, instance: &Instance) -> Result<Vec<K>, BackendError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    pages(api, ListParams::default().labels(&selector(instance))).await
}

/// Everything of a kind, whosever it is.
///
/// # Errors
/// [`BackendError`]; there is no half an answer.
pub async fn everything<K>(api: &Api<K>) -> Result<Vec<K>, BackendError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    pages(api, ListParams::default()).await
}

async fn pages<K>(api: &Api<K>, params: ListParams) -> Result<Vec<K>, BackendError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut params = params.limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = api.list(&params).await.map_err(error)?;
        let next = page
            .metadata
            .continue_
            .clone()
            .filter(|next| !next.is_empty());
        all.extend(page.items);
        match next {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(all),
        }
    }
}

/// Deletes what is there of this name, if it is still the object that was looked at.
///
/// # Errors
/// [`BackendError`]; that it is gone already is none.
pub async fn delete<K>(api: &Api<K>, object: &K) -> Result<(), BackendError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let params = DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: object.uid(),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match api.delete(&object.name_any(), &params).await.map_err(error) {
        Ok(_) | Err(BackendError::Missing(_)) => Ok(()),
        Err(cause) => Err(cause),
    }
}

/// Ends all of a kind that carry the instance's label, each with this time to end by itself.
///
/// # Errors
/// [`BackendError`]
pub async fn end_all<K>(api: &Api<K>, instance: &Instance, grace: u32) -> Result<(), BackendError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let params = DeleteParams {
        grace_period_seconds: Some(grace),
        ..DeleteParams::background()
    };
    let ours = ListParams::default().labels(&selector(instance));
    api.delete_collection(&params, &ours).await.map_err(error)?;
    Ok(())
}

/// What selects the objects of an instance.
pub fn selector(instance: &Instance) -> String {
    format!("{}={}", label::INSTANCE, instance.short())
}
