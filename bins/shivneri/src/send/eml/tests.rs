use serde_json::{Value, json};

use super::*;

fn parsed(text: &str) -> (Value, Vec<String>) {
    let text = text.replace('\n', "\r\n");
    let eml = read(text.as_bytes()).unwrap();
    (Value::Object(eml.message.into_json()), eml.dropped)
}

const HEAD: &str = "From: Asha <asha@example.com>\nTo: b@example.org\nSubject: Hi\n";

#[test]
fn the_fields_of_a_simple_message_are_the_apis() {
    let (json, dropped) = parsed(
        "From: =?utf-8?q?J=C3=BCrgen?= <j@example.com>\n\
         To: \"Doe, John\" <john@example.org>, Friends: a@example.org, b@example.org;\n\
         Cc: c@example.org\nBcc: d@example.org\nReply-To: r@example.com\n\
         Subject: =?iso-8859-1?q?Gr=FC=DFe?=\nX-Order: 42\nList-Unsubscribe:\n <https://example.com/u>\n\
         MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\n\
         Content-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n",
    );
    let expected = json!({
        "from": { "email": "j@example.com", "name": "Jürgen" },
        "to": [{ "email": "john@example.org", "name": "Doe, John" },
               { "email": "a@example.org" }, { "email": "b@example.org" }],
        "cc": [{ "email": "c@example.org" }],
        "bcc": [{ "email": "d@example.org" }],
        "reply_to": [{ "email": "r@example.com" }],
        "subject": "Grüße",
        "text": "Grüße\r\n",
        "headers": { "X-Order": "42", "List-Unsubscribe": "<https://example.com/u>" },
    });
    assert_eq!(json, expected);
    assert_eq!(dropped, [""; 0]);
}

#[test]
fn what_the_carriers_wrote_is_left_behind_and_named() {
    let (json, dropped) = parsed(&format!(
        "Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\nDKIM-Signature: v=1; a=rsa-sha256\n\
         ARC-Seal: i=1\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-ID: <1@x>\n{HEAD}\
         X-A: 1\nx-a: 2\n\nHi\n"
    ));
    assert_eq!(json["headers"], json!({ "X-A": "1" }));
    let expected = [
        "header Received",
        "header DKIM-Signature",
        "header ARC-Seal",
        "header Date",
        "header Message-ID",
        "a further header x-a",
    ];
    assert_eq!(dropped, expected);
}

#[test]
fn text_html_files_and_inline_parts_find_their_places() {
    let (json, _) = parsed(&format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=m\n\n--m\n\
         Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain\n\nplain\n\
         --a\nContent-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n\
         <img src=\"cid:logo@x\">\n--r\nContent-Type: image/png\nContent-ID: <logo@x>\n\
         Content-Transfer-Encoding: base64\n\niVBORw==\n--r--\n--a--\n--m\n\
         Content-Type: application/pdf; name=\"a.pdf\"\nContent-ID: <unused@x>\n\
         Content-Disposition: attachment; filename=\"a.pdf\"\nContent-Transfer-Encoding: base64\n\n\
         JVBERg==\n--m--\n"
    ));
    assert_eq!(json["text"], "plain");
    assert_eq!(json["html"], "<img src=\"cid:logo@x\">");
    let expected = json!([
        { "filename": "part-1.png", "content_type": "image/png", "content": "iVBORw==",
          "content_id": "logo@x" },
        { "filename": "a.pdf", "content_type": "application/pdf", "content": "JVBERg==" },
    ]);
    assert_eq!(json["attachments"], expected);
}

#[test]
fn html_alone_brings_no_invented_text_and_text_alone_no_html() {
    let (json, _) = parsed(&format!("{HEAD}Content-Type: text/html\n\n<p>Hi</p>\n"));
    assert_eq!((json.get("text"), &json["html"]), (None, &json!("<p>Hi</p>\r\n")));
    let (json, _) = parsed(&format!("{HEAD}\nHi\n"));
    assert_eq!((&json["text"], json.get("html")), (&json!("Hi\r\n"), None));
}

#[test]
fn a_lists_footer_does_not_replace_the_text_of_an_html_message() {
    let (json, _) = parsed(&format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: text/html\n\n\
         <p>Body</p>\n--m\nContent-Type: text/plain\n\nfooter\n--m--\n"
    ));
    for field in ["text", "html"] {
        let body = json[field].as_str().unwrap();
        assert!(body.contains("Body") && body.contains("footer"), "{field}: {body}");
    }
}

#[test]
fn an_attached_text_keeps_its_bytes_and_an_attached_message_is_whole() {
    let (json, _) = parsed(&format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=m\n\n--m\n\nHi\n--m\n\
         Content-Type: text/csv; charset=iso-8859-1; name=a.csv\n\
         Content-Disposition: attachment\nContent-Transfer-Encoding: quoted-printable\n\n=FC;1\n\
         --m\nContent-Type: message/rfc822\n\nFrom: x@example.com\nSubject: Inner\n\nInner text\n--m--\n"
    ));
    let expected = json!([
        { "filename": "a.csv", "content_type": "text/csv; charset=iso-8859-1", "content": "/Dsx" },
        { "filename": "part-2.eml", "content_type": "message/rfc822",
          "content": base64::Engine::encode(&base64::engine::general_purpose::STANDARD,
              "From: x@example.com\r\nSubject: Inner\r\n\r\nInner text") },
    ]);
    assert_eq!(json["attachments"], expected);
}

#[test]
fn what_would_break_is_refused_by_name() {
    let signed = format!("{HEAD}Content-Type: multipart/signed; boundary=m\n\n--m\n\nHi\n--m--\n");
    for (text, reason) in [
        ("", "no header"),
        (signed.as_str(), "multipart/signed"),
        (&format!("X-Shivneri-Lane: bulk\n{HEAD}\nHi\n"), "X-Shivneri-Lane"),
    ] {
        let error = read(text.as_bytes()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}
