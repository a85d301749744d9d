//! Who is who in a cluster: one authority, and a certificate for every program that speaks to the API server.
//!
//! Kubernetes takes a client's name from its certificate's common name and its groups from the organisations. What a
//! name may do is said by roles: those of Kubernetes' own programs are built in, ours lie in `kubernetes/objects`.

use anyhow::Context;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use std::net::IpAddr;

/// A certificate and its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key, in PKCS #8.
    pub key: String,
}

/// The two halves of a key that signs service accounts' tokens, as PEM.
#[derive(Clone, Debug)]
pub struct SigningKeys {
    /// The secret half, in PKCS #8.
    pub private: String,
    /// The public half.
    pub public: String,
}

/// A cluster's authority. Its key is never written: a cluster that is built anew has a new one.
pub struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(cluster: &str) -> anyhow::Result<Authority> {
        let mut params = named(&format!("welkin test cluster {cluster}"), &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate().context("a key")?;
        let certificate = params.self_signed(&key)?;
        Ok(Authority { certificate, key })
    }

    /// Its own certificate, as PEM.
    pub fn certificate(&self) -> String {
        self.certificate.pem()
    }

    /// Somebody whom the API server, or a kubelet, lets in.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn client(&self, name: &str, groups: &[&str]) -> anyhow::Result<Identity> {
        let mut params = named(name, groups);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// Somebody who answers under these names and addresses.
    ///
    /// # Errors
    /// A name is none, or the system gives no random numbers.
    pub fn server(
        &self,
        name: &str,
        names: &[&str],
        addresses: &[IpAddr],
    ) -> anyhow::Result<Identity> {
        let mut params = named(name, &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            let name = (*name).try_into().context("a name of a server")?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let addresses = addresses.iter().copied().map(SanType::IpAddress);
        params.subject_alt_names.extend(addresses);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> anyhow::Result<Identity> {
        let key = KeyPair::generate().context("a key")?;
        let certificate = params.signed_by(&key, &self.certificate, &self.key)?;
        Ok(Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// What all certificates have. They end in the year 4096: test clusters are thrown away long before.
fn named(name: &str, groups: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // The library keeps one organisation, and nobody here is in more.
    for group in groups {
        params
            .distinguished_name
            .push(DnType::OrganizationName, *group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

/// A new pair for service accounts.
///
/// # Errors
/// The system gives no random numbers.
pub fn signing_keys() -> anyhow::Result<SigningKeys> {
    let key = KeyPair::generate().context("a key")?;
    Ok(SigningKeys {
        private: key.serialize_pem(),
        public: key.public_key_pem(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
    use std::time::Duration;
    use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring};

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    fn verify(authority: &Authority, leaf: &str, usage: KeyUsage) -> Result<(), webpki::Error> {
        let (root, leaf) = (der(&authority.certificate()), der(leaf));
        let anchors = [anchor_from_trusted_cert(&root)?];
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        let algorithms = &[ring::ECDSA_P256_SHA256];
        let leaf = EndEntityCert::try_from(&leaf)?;
        leaf.verify_for_usage(algorithms, &anchors, &[], now, usage, None, None)
            .map(|_| ())
    }

    fn is_valid_for(leaf: &str, name: &str) -> bool {
        let leaf = der(leaf);
        let leaf = EndEntityCert::try_from(&leaf).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        leaf.verify_is_valid_for_subject_name(&name).is_ok()
    }

    #[test]
    fn a_client_is_taken_for_a_client_and_a_server_for_a_server_of_its_names() {
        let authority = Authority::new("one").unwrap();
        let client = authority
            .client("system:node:node-0", &["system:nodes"])
            .unwrap();
        let addresses = ["198.18.0.2", "fd96::1"].map(|text| text.parse().unwrap());
        let server = authority
            .server("api", &["kubernetes.default.svc"], &addresses)
            .unwrap();
        verify(&authority, &client.certificate, KeyUsage::client_auth()).unwrap();
        verify(&authority, &server.certificate, KeyUsage::server_auth()).unwrap();
        verify(&authority, &client.certificate, KeyUsage::server_auth()).unwrap_err();
        verify(&authority, &server.certificate, KeyUsage::client_auth()).unwrap_err();
        for name in ["kubernetes.default.svc", "198.18.0.2", "fd96::1"] {
            assert!(is_valid_for(&server.certificate, name), "{name}");
        }
        assert!(!is_valid_for(&server.certificate, "198.18.0.3"));
    }

    #[test]
    fn what_another_cluster_signed_is_refused() {
        let (one, two) = (
            Authority::new("one").unwrap(),
            Authority::new("two").unwrap(),
        );
        let admin = two.client("admin", &["system:masters"]).unwrap();
        verify(&one, &admin.certificate, KeyUsage::client_auth()).unwrap_err();
        verify(&two, &admin.certificate, KeyUsage::client_auth()).unwrap();
    }

    #[test]
    fn nobody_whom_the_authority_names_can_name_others() {
        let authority = Authority::new("one").unwrap();
        let admin = authority.client("admin", &["system:masters"]).unwrap();
        let as_authority = Authority {
            key: KeyPair::from_pem(&admin.key).unwrap(),
            certificate: named("admin", &[])
                .self_signed(&KeyPair::from_pem(&admin.key).unwrap())
                .unwrap(),
        };
        let other = as_authority.client("other", &[]).unwrap();
        verify(&authority, &other.certificate, KeyUsage::client_auth()).unwrap_err();
    }
}
