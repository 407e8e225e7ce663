//! How the form looks.

use std::sync::Arc;

use maud::{Markup, html};
use shivneri_core::Lane;

use super::{Errors, Field, Form};
use crate::format;

/// The form with what was typed, and each error beside its field.
pub(crate) fn form(form: &Form, errors: &Errors, lanes: &[Arc<Lane>], max_upload: usize) -> Markup {
    let sheet = Sheet { form, errors };
    html! {
        h1 { "Compose" }
        (summary(errors))
        form #compose method="post" action="/compose" enctype="multipart/form-data" novalidate
            data-max-bytes=(max_upload)
        {
            input type="hidden" name="token" value=(form.token);
            fieldset.plain {
                legend.unseen { "Who" }
                (sheet.line(Field::From, "As in Asha <asha@example.com>."))
                (sheet.line(Field::To, "Several with commas between them."))
                div.columns {
                    (sheet.line(Field::Cc, ""))
                    (sheet.line(Field::Bcc, "Nobody else sees these."))
                    (sheet.line(Field::ReplyTo, "Where answers go instead."))
                }
            }
            fieldset.plain {
                legend.unseen { "What" }
                (sheet.line(Field::Subject, ""))
                (sheet.area(Field::Text, 8, "Text or HTML is needed; both may be there."))
                (sheet.area(Field::Html, 4, "As source, for readers that show HTML."))
                div.columns {
                    (sheet.lane(lanes))
                    (sheet.files(max_upload))
                }
            }
            p.actions {
                button.primary type="submit" { "Send" }
                span #sending role="status" {}
            }
        }
    }
}

/// All that is wrong at the top, where the page begins to be read.
fn summary(errors: &Errors) -> Markup {
    let count = errors.all().len();
    html! {
        @if count > 0 {
            div.summary #errors tabindex="-1" autofocus role="group" aria-labelledby="errors-title" {
                h2 #errors-title {
                    "Not sent: "
                    @if count == 1 { "one thing" } @else { (count) " things" }
                    " to check"
                }
                ul {
                    @for (field, sentence) in errors.all() {
                        li {
                            @match field {
                                Some(field) => {
                                    a href={ "#" (field.name()) } { (field.label()) ": " (sentence) }
                                }
                                None => (sentence),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The fields, each made with what is known of it.
#[derive(Debug)]
struct Sheet<'a> {
    form: &'a Form,
    errors: &'a Errors,
}

impl Sheet<'_> {
    fn line(&self, field: Field, hint: &str) -> Markup {
        let (id, invalid) = (field.name(), self.invalid(field));
        let required = matches!(field, Field::From | Field::To);
        let autocomplete = if field == Field::From { "email" } else { "off" };
        let control = html! {
            input id=(id) name=(id) type="text" value=(self.form.typed(field)) required[required]
                autocomplete=(autocomplete) autocapitalize="none" spellcheck=[spelt(field)]
                aria-invalid=[invalid] aria-describedby=[self.described(field, hint)];
        };
        self.field(field, hint, &control)
    }

    fn area(&self, field: Field, rows: usize, hint: &str) -> Markup {
        let (id, invalid) = (field.name(), self.invalid(field));
        let control = html! {
            // A browser drops one line break at the beginning.
            textarea.code[field == Field::Html] id=(id) name=(id) rows=(rows)
                aria-invalid=[invalid] aria-describedby=[self.described(field, hint)]
            { "\n" (self.form.typed(field)) }
        };
        self.field(field, hint, &control)
    }

    fn lane(&self, lanes: &[Arc<Lane>]) -> Markup {
        let (field, hint) = (Field::Lane, "How urgent it is, and how long it may wait.");
        let typed = self.form.typed(field);
        let chosen = if typed.is_empty() { "transactional" } else { typed };
        let control = html! {
            select id="lane" name="lane" aria-invalid=[self.invalid(field)]
                aria-describedby=[self.described(field, hint)]
            {
                @for lane in lanes {
                    option value=(lane.name) selected[lane.name.as_str() == chosen] {
                        (lane.name) " – up to " (format::age(lane.max_age))
                    }
                }
            }
        };
        self.field(field, hint, &control)
    }

    fn files(&self, max_upload: usize) -> Markup {
        let field = Field::Attachments;
        let most = format::size(max_upload);
        let hint = if self.errors.is_empty() || self.form.files.is_empty() {
            format!("Several may be chosen; {most} in all.")
        } else {
            format!("Please choose the files again; {most} in all.")
        };
        let control = html! {
            input id="attachments" name="attachments" type="file" multiple
                aria-invalid=[self.invalid(field)] aria-describedby=[self.described(field, &hint)];
        };
        self.field(field, &hint, &control)
    }

    fn field(&self, field: Field, hint: &str, control: &Markup) -> Markup {
        let id = field.name();
        html! {
            div.field.wrong[self.is_wrong(field)] {
                label for=(id) { (field.label()) }
                (control)
                @if self.is_wrong(field) {
                    p.error id={ (id) "-error" } {
                        @for sentence in self.errors.of(field) { span { (sentence) } " " }
                    }
                }
                @if !hint.is_empty() { p.hint id={ (id) "-hint" } { (hint) } }
            }
        }
    }

    fn is_wrong(&self, field: Field) -> bool {
        self.errors.of(field).next().is_some()
    }

    fn invalid(&self, field: Field) -> Option<&'static str> {
        self.is_wrong(field).then_some("true")
    }

    fn described(&self, field: Field, hint: &str) -> Option<String> {
        let id = field.name();
        let error = self.is_wrong(field).then(|| format!("{id}-error"));
        let hint = (!hint.is_empty()).then(|| format!("{id}-hint"));
        let ids: Vec<_> = error.into_iter().chain(hint).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }
}

/// Addresses are not words to be corrected.
fn spelt(field: Field) -> Option<&'static str> {
    (field != Field::Subject).then_some("false")
}
