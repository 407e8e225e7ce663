//! The check of every request, as a tower layer.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Method, Request, header};
use tower::{Layer, Service};

use super::{Access, CALLER, Scope};

type Needs = dyn Fn(&Method, &str) -> Option<Scope> + Send + Sync;

/// Lets through who is allowed in; made by [`Access::layer`].
#[derive(Clone)]
pub struct AccessLayer {
    access: Arc<Access>,
    needs: Arc<Needs>,
}

impl AccessLayer {
    pub(super) fn new(access: Arc<Access>, needs: Arc<Needs>) -> Self {
        Self { access, needs }
    }
}

impl fmt::Debug for AccessLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLayer").field("access", &self.access).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, layer: self.clone() }
    }
}

/// A service behind an [`AccessLayer`].
#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    layer: AccessLayer,
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(scope) = (self.layer.needs)(request.method(), request.uri().path()) else {
            return Box::pin(self.inner.call(request));
        };
        // HTTP/2 has the authority in the target, HTTP/1 in the Host header.
        let authority = match request.uri().authority() {
            Some(authority) => Some(authority.as_str()),
            None => request.headers().get(header::HOST).and_then(|host| host.to_str().ok()),
        };
        let admitted =
            self.layer.access.admit(request.method(), authority, request.headers(), scope);
        match admitted {
            Ok(identity) => {
                request.extensions_mut().insert(Arc::clone(&identity));
                Box::pin(CALLER.scope(identity, self.inner.call(request)))
            }
            Err(problem) => Box::pin(std::future::ready(Ok(problem.into_response()))),
        }
    }
}
