//! The stylesheet, the script and the mark, which are part of the program.

use axum::{
    extract::Path,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};

use crate::layout;

/// One file of the pages.
#[derive(Debug)]
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
    digest: u64,
}

impl Asset {
    const fn new(name: &'static str, content_type: &'static str, content: &'static [u8]) -> Self {
        Self { name, content_type, content, digest: digest(content) }
    }
}

static ASSETS: [Asset; 3] = [
    Asset::new("console.css", "text/css; charset=utf-8", include_bytes!("../assets/console.css")),
    Asset::new(
        "console.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../assets/console.js"),
    ),
    Asset::new("mark.svg", "image/svg+xml", include_bytes!("../assets/mark.svg")),
];

/// 64-bit FNV-1a: tells versions of our own files apart, no more.
const fn digest(content: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < content.len() {
        hash = (hash ^ content[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

/// Serves a file; a browser that has it already is told so.
pub(crate) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return layout::not_found(headers).await;
    };
    let tag = format!("\"{:016x}\"", asset.digest);
    let known = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    // Asked again each time: after an upgrade a page must not meet its old script.
    let shared = [(ETAG, tag.as_str()), (CACHE_CONTROL, "no-cache")];
    if known.is_some_and(|tags| tags.split(',').any(|one| one.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, shared).into_response();
    }
    (shared, [(CONTENT_TYPE, asset.content_type)], asset.content).into_response()
}
