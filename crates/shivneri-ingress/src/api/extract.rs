//! What a request's target names, with our own answers where it can't be read.

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;

use crate::problem::{Code, Problem};

/// The one name in the path.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        // Only percent-encoded octets that are no UTF-8 fail, and nothing is named so.
        let named = path.map(|Path(name)| Self(name));
        named.map_err(|error| Problem::new(Code::NotFound, error.body_text()))
    }
}

/// The parameters after the `?`.
pub(super) struct Parameters(pub(super) Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let parameters = query.map(|Query(pairs)| Self(pairs));
        parameters.map_err(|error| Problem::field("query", error.body_text()))
    }
}
