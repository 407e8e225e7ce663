//! The form to write mail, and its sending.

mod addresses;
mod form;
mod sent;
mod upload;
mod view;

use axum::{
    extract::{Request, State},
    http::{StatusCode, header::RETRY_AFTER},
    response::{Html, IntoResponse, Redirect, Response},
};
use shivneri_core::SubmitError;

pub(crate) use form::{Errors, Field, Form};
pub(crate) use sent::Sent;

use crate::{
    layout::{self, Here, Page},
    protect,
    router::Console,
};

/// `GET /compose`.
pub(crate) async fn page(State(console): State<Console>) -> Html<String> {
    document(&console, &Form::default(), &Errors::default())
}

/// `POST /compose`: sends, and goes on to the message's page; or shows the form again with what
/// is wrong.
pub(crate) async fn send(State(console): State<Console>, request: Request) -> Response {
    if protect::is_cross_site(request.headers(), request.uri()) {
        let text = "Another site's page has posted this form. Nothing was sent.";
        return layout::problem(StatusCode::FORBIDDEN, "Not from here", text);
    }
    let max = console.parts.max_upload;
    let upload = match upload::Upload::of(request, max).await {
        Ok(upload) => upload,
        Err(rejection) => {
            let text = "The form has to come as multipart/form-data. Nothing was sent.";
            return layout::problem(rejection.status(), "Not a form", text);
        }
    };
    let (form, errors) = Form::read(upload, max).await;
    if !errors.is_empty() {
        return refused(&console, errors.status(), &form, &errors);
    }
    match console.sent.once(&console.parts.submit, &form).await {
        Ok(sent) => Redirect::to(&format!("/messages/{}", sent.id)).into_response(),
        Err(SubmitError::Invalid(wrong)) => {
            let errors = Errors::of_fields(&form, &wrong);
            refused(&console, StatusCode::UNPROCESSABLE_ENTITY, &form, &errors)
        }
        Err(SubmitError::Unavailable { reason, retry_after }) => {
            let mut errors = Errors::default();
            errors.add(None, format!("The mail can't be taken now: {reason}. Nothing was sent."));
            let answer = refused(&console, StatusCode::SERVICE_UNAVAILABLE, &form, &errors);
            ([(RETRY_AFTER, retry_after.to_string())], answer).into_response()
        }
    }
}

fn refused(console: &Console, status: StatusCode, form: &Form, errors: &Errors) -> Response {
    (status, document(console, form, errors)).into_response()
}

fn document(console: &Console, form: &Form, errors: &Errors) -> Html<String> {
    let parts = &console.parts;
    let title = if errors.is_empty() { "Compose" } else { "Not sent: please check · Compose" };
    let body = view::form(form, errors, parts.spool.lanes(), parts.max_upload);
    Page { title, here: Here::Compose, live: None, version: Some(parts.version), body }.document()
}
