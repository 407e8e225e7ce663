//! A form that is posted twice sends once.
//!
//! A second click on *Send* makes the browser drop its first request and post again; the first
//! one may have been taken all the same.

use std::{
    collections::VecDeque,
    fmt,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use shivneri_core::{Submit, SubmitError, Submitted, submit::Door};

use super::Form;

/// Forms that are remembered.
const KEPT: usize = 1_000;

type Sending = Shared<BoxFuture<'static, Result<Submitted, SubmitError>>>;

/// What the latest forms led to.
#[derive(Default)]
pub(crate) struct Sent {
    hasher: RandomState,
    latest: Mutex<VecDeque<(u64, Sending)>>,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").finish_non_exhaustive()
    }
}

impl Sent {
    /// Sends what the form says, unless the same showing of it with the same content is under way
    /// or was sent: then waits for that, and gives its message.
    ///
    /// Dropping this future does not lose the sending: who posts the form again drives it on.
    pub(crate) async fn once(
        &self,
        submit: &Arc<dyn Submit>,
        form: &Form,
    ) -> Result<Submitted, SubmitError> {
        let key = self.key(form);
        let result = self.sending(key, submit, form).await;
        if result.is_err() {
            self.lock().retain(|(other, _)| *other != key);
        }
        result
    }

    fn sending(&self, key: u64, submit: &Arc<dyn Submit>, form: &Form) -> Sending {
        let mut latest = self.lock();
        if let Some((_, sending)) = latest.iter().find(|(other, _)| *other == key) {
            return sending.clone();
        }
        let (submit, draft) = (Arc::clone(submit), form.draft());
        let sending = async move { submit.submit(draft, Door::Http).await }.boxed().shared();
        if latest.len() == KEPT {
            latest.pop_front();
        }
        latest.push_back((key, sending.clone()));
        sending
    }

    /// The showing and the content together: who goes back and changes a word means another mail.
    fn key(&self, form: &Form) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        form.token.hash(&mut hasher);
        for field in super::Field::ALL {
            form.typed(field).hash(&mut hasher);
        }
        for file in &form.files {
            (&file.filename, &file.content_type, &file.content).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(u64, Sending)>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use shivneri_core::MessageId;
    use tokio::sync::Semaphore;

    use super::*;

    /// Takes a message for each permit it is given; refuses while it is told to.
    #[derive(Debug)]
    struct Counting {
        gate: Semaphore,
        taken: Mutex<usize>,
        full: Mutex<bool>,
    }

    impl Counting {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                gate: Semaphore::new(0),
                taken: Mutex::new(0),
                full: Mutex::new(false),
            })
        }
    }

    #[async_trait::async_trait]
    impl Submit for Counting {
        async fn submit(
            &self,
            _draft: shivneri_core::draft::Draft,
            _door: Door,
        ) -> Result<Submitted, SubmitError> {
            if *self.full.lock().unwrap() {
                return Err(SubmitError::Unavailable { reason: "full".into(), retry_after: 1 });
            }
            *self.taken.lock().unwrap() += 1;
            self.gate.acquire().await.unwrap().forget();
            Ok(Submitted { id: MessageId::new(), status: "queued" })
        }
    }

    #[tokio::test]
    async fn a_form_posted_again_while_the_first_request_is_dropped_sends_once() {
        let (counting, sent, form) = (Counting::new(), Sent::default(), Form::default());
        let submit: Arc<dyn Submit> = counting.clone();
        assert!(sent.once(&submit, &form).now_or_never().is_none());
        counting.gate.add_permits(9);
        let second = sent.once(&submit, &form).await.unwrap();
        let third = sent.once(&submit, &form).await.unwrap();
        assert_eq!(second.id, third.id);
        assert_eq!(*counting.taken.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn another_showing_of_the_form_is_another_mail() {
        let (counting, sent) = (Counting::new(), Sent::default());
        let submit: Arc<dyn Submit> = counting.clone();
        counting.gate.add_permits(9);
        let first = sent.once(&submit, &Form::default()).await.unwrap();
        let second = sent.once(&submit, &Form::default()).await.unwrap();
        assert_ne!(first.id, second.id);
    }

    #[tokio::test]
    async fn a_form_that_was_refused_may_be_posted_again() {
        let (counting, sent, form) = (Counting::new(), Sent::default(), Form::default());
        let submit: Arc<dyn Submit> = counting.clone();
        *counting.full.lock().unwrap() = true;
        assert!(sent.once(&submit, &form).await.is_err());
        *counting.full.lock().unwrap() = false;
        counting.gate.add_permits(1);
        assert!(sent.once(&submit, &form).await.is_ok());
    }
}
