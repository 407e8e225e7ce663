//! Who may do what: API keys, and the rules of the open loopback.

mod guard;
mod origin;
mod scope;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
pub use guard::{AccessLayer, Guard};
use http::{HeaderMap, Method, header};
pub use scope::{Scope, ScopeError};
use shivneri_spool::{Register, Spool, SpoolError};

use crate::{
    keys::{self, KeyError},
    problem::{Code, Problem},
    submission::ANONYMOUS,
    token,
};

tokio::task_local! {
    static CALLER: Arc<Identity>;
}

/// Who makes the request that is being answered by this task.
pub(crate) fn caller() -> Option<Arc<Identity>> {
    CALLER.try_with(Arc::clone).ok()
}

/// Who makes a request. Stands in the request's extensions behind an [`AccessLayer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    name: String,
    scopes: Vec<Scope>,
    domains: Option<Arc<[String]>>,
}

impl Identity {
    /// Whoever it is, on an open loopback.
    fn anonymous() -> Self {
        Self { name: ANONYMOUS.to_owned(), scopes: Scope::ALL.to_vec(), domains: None }
    }

    /// The key's name, or `anonymous`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may do this.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| own.includes(scope))
    }

    /// The sender domains it may use; none: all.
    pub fn domains(&self) -> Option<&Arc<[String]>> {
        self.domains.as_ref()
    }
}

/// An API key from the configuration; only its digest is kept.
#[derive(Clone)]
pub struct ConfiguredKey(Key);

impl ConfiguredKey {
    /// A key of this name and secret.
    ///
    /// # Errors
    ///
    /// [`KeyError`] where the name doesn't do, the secret is empty, or no scope is given.
    pub fn new(name: &str, secret: &str, scopes: &[Scope]) -> Result<Self, KeyError> {
        keys::check(name, scopes)?;
        if secret.is_empty() {
            return Err(KeyError::EmptySecret(name.to_owned()));
        }
        let identity = Identity { name: name.to_owned(), scopes: scopes.to_vec(), domains: None };
        let digest = token::digest_of(secret.as_bytes());
        Ok(Self(Key { digest, identity: Arc::new(identity) }))
    }

    /// Narrows it to senders of these domains.
    #[must_use]
    pub fn with_domains(mut self, domains: Vec<String>) -> Self {
        let identity = Identity { domains: Some(domains.into()), ..(*self.0.identity).clone() };
        self.0.identity = Arc::new(identity);
        self
    }
}

impl fmt::Debug for ConfiguredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConfiguredKey").field(&self.0.identity).finish()
    }
}

#[derive(Clone)]
struct Key {
    digest: [u8; 32],
    identity: Arc<Identity>,
}

/// Decides who may use the HTTP doors. Knows the configured keys and those in the spool.
pub struct Access {
    spool: Arc<dyn Spool>,
    open_on_loopback: bool,
    configured: RwLock<Vec<Key>>,
    kept: RwLock<Vec<Key>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("open_on_loopback", &self.open_on_loopback)
            .field("any_key", &self.any_key())
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Reads the keys in the spool and takes the configured ones.
    ///
    /// Set `open_on_loopback` only where every door listens on loopback: then requests need no
    /// key until the first exists.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where the keys could not be read.
    pub async fn load(
        spool: Arc<dyn Spool>,
        configured: Vec<ConfiguredKey>,
        open_on_loopback: bool,
    ) -> Result<Arc<Self>, SpoolError> {
        let kept = kept_keys(spool.as_ref()).await?;
        let configured = RwLock::new(configured.into_iter().map(|key| key.0).collect());
        Ok(Arc::new(Self { spool, open_on_loopback, configured, kept: RwLock::new(kept) }))
    }

    /// Reads the keys in the spool again, after some were made or revoked.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read; those known before hold on.
    pub async fn refresh(&self) -> Result<(), SpoolError> {
        let keys = kept_keys(self.spool.as_ref()).await?;
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Takes other configured keys in place of the present ones.
    pub fn reconfigure(&self, configured: Vec<ConfiguredKey>) {
        let keys = configured.into_iter().map(|key| key.0).collect();
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Whether any key exists.
    pub fn any_key(&self) -> bool {
        [&self.configured, &self.kept]
            .iter()
            .any(|keys| !keys.read().unwrap_or_else(PoisonError::into_inner).is_empty())
    }

    /// A layer that lets through who may do this, for any axum router.
    ///
    /// Browsers are asked for the key (as the password, with any user name), and what they send
    /// must come from the server's own pages.
    pub fn layer(self: &Arc<Self>, scope: Scope) -> AccessLayer {
        self.layer_by(move |_, _| Some(scope))
    }

    /// A layer that asks `needs`, given method and path, what a request must be allowed to do;
    /// `None` lets everyone through.
    pub fn layer_by(
        self: &Arc<Self>,
        needs: impl Fn(&Method, &str) -> Option<Scope> + Send + Sync + 'static,
    ) -> AccessLayer {
        AccessLayer::new(Arc::clone(self), Arc::new(needs))
    }

    /// Who makes the request, if it is allowed to do that.
    fn admit(
        &self,
        method: &Method,
        authority: Option<&str>,
        headers: &HeaderMap,
        scope: Scope,
    ) -> Result<Arc<Identity>, Problem> {
        let forbidden = |detail: String| Problem::new(Code::Forbidden, detail);
        if !self.any_key() && self.open_on_loopback {
            origin::check_loopback(authority, headers).map_err(forbidden)?;
            origin::check_same_site(method, authority, headers).map_err(forbidden)?;
            return Ok(Arc::new(Identity::anonymous()));
        }
        let Some(secret) = presented(headers) else {
            let detail = "send an API key as `Authorization: Bearer KEY`, \
                 or as the password of basic authentication";
            return Err(Problem::new(Code::Unauthorized, detail));
        };
        let Some(identity) = self.find(&secret) else {
            return Err(Problem::new(Code::Unauthorized, "the API key is not known"));
        };
        origin::check_same_site(method, authority, headers).map_err(forbidden)?;
        if !identity.allows(scope) {
            let detail = format!("API key {:?} lacks the scope {scope}", identity.name);
            return Err(forbidden(detail));
        }
        Ok(identity)
    }

    /// Every key is compared, whichever fits, so that the time taken names none.
    fn find(&self, secret: &[u8]) -> Option<Arc<Identity>> {
        let digest = token::digest_of(secret);
        let mut found = None;
        for keys in [&self.configured, &self.kept] {
            for key in keys.read().unwrap_or_else(PoisonError::into_inner).iter() {
                if token::same(&key.digest, &digest) && found.is_none() {
                    found = Some(Arc::clone(&key.identity));
                }
            }
        }
        found
    }
}

async fn kept_keys(spool: &dyn Spool) -> Result<Vec<Key>, SpoolError> {
    let keys = spool.keys().await?.into_iter().map(|key| {
        let known = |word: &String| match word.parse() {
            Ok(scope) => Some(scope),
            Err(error) => {
                tracing::warn!(key = %key.id, %error, "a key's scope is not known and ignored");
                None
            }
        };
        let scopes = key.scopes.iter().filter_map(known).collect();
        let domains = key.domains.map(Arc::from);
        let identity = Identity { name: key.name, scopes, domains };
        Key { digest: key.secret_sha256, identity: Arc::new(identity) }
    });
    Ok(keys.collect())
}

/// The secret in the `Authorization` header (RFC 6750 section 2.1, RFC 7617).
fn presented(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.as_bytes().to_vec());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = STANDARD.decode(rest).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}
