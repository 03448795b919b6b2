//! Every order in which threads may begin, read and end the library, tried one after the other: the same source as in the
//! library, over the locks of a model checker.
#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "a file of the library is a module here")]

#[path = "../src/copies.rs"]
mod copies;

/// What stands for the standard library's locks.
mod sync {
    pub(crate) use loom::sync::{Arc, Mutex, RwLock};
    pub(crate) use std::sync::PoisonError;
}

use copies::Copies;
use loom::sync::Arc;
use loom::thread;

/// What the application would be; it says when it goes.
struct Application(u8);

#[test]
fn exactly_one_of_those_who_begin_at_once_does() {
    loom::model(|| {
        let copies: Arc<Copies<Application, 2>> = Arc::new(Copies::new());
        let begin = |number| {
            let copies = Arc::clone(&copies);
            thread::spawn(move || copies.set(Application(number)))
        };
        let (first, second) = (begin(1), begin(2));
        let begun = [first.join().unwrap(), second.join().unwrap()];
        assert_eq!(begun.iter().filter(|begun| **begun).count(), 1);
        let winner = if begun[0] { 1 } else { 2 };
        for copy in 0..2 {
            assert_eq!(
                copies.read(copy).unwrap().0,
                winner,
                "every copy has the same one"
            );
        }
    });
}

#[test]
fn who_reads_while_another_ends_has_it_whole_or_not_at_all() {
    loom::model(|| {
        let copies: Arc<Copies<Application, 2>> = Arc::new(Copies::new());
        assert!(copies.set(Application(7)));
        let reading = {
            let copies = Arc::clone(&copies);
            thread::spawn(move || {
                let first = copies.read(1).map(|application| application.0);
                let later = copies.read(1).map(|application| application.0);
                (first, later)
            })
        };
        assert!(copies.take().is_some());
        assert!(copies.take().is_none(), "it ends once");
        assert!(copies.read(0).is_none() && copies.read(1).is_none());
        let seen = reading.join().unwrap();
        assert!(
            [(Some(7), Some(7)), (Some(7), None), (None, None)].contains(&seen),
            "what is gone does not come back: {seen:?}"
        );
    });
}

#[test]
fn it_may_begin_again_while_another_ends_it() {
    loom::model(|| {
        let copies: Arc<Copies<Application, 2>> = Arc::new(Copies::new());
        assert!(copies.set(Application(1)));
        let ending = {
            let copies = Arc::clone(&copies);
            thread::spawn(move || copies.take().is_some())
        };
        let again = copies.set(Application(2));
        assert!(ending.join().unwrap());
        let left = copies.read(0).map(|application| application.0);
        let other = copies.read(1).map(|application| application.0);
        assert_eq!(left, other, "each copy has it, or none has");
        // Either it ended before it began again, or it was refused, or what began was ended.
        assert!(
            matches!((again, left), (true, Some(2)) | (false, None)),
            "{again} {left:?}"
        );
    });
}
