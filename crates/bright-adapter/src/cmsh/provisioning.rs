//! The provisioning subsystem and the software images: what a node in its installer may wait for.

use runbook_core::ports::PortResult;
use runbook_core::world::Provisioning;

use super::Cmsh;
use super::lexicon::{Boolean, ImageTable, Mode, Provisioner, Verb, Word as _};
use super::script::Script;
use crate::text::shown;

/// What the provisioning subsystem says of itself (administrator manual 5.4.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Its own words, where it does not accept requests.
    pub(crate) stopped: Option<String>,
    /// How many nodes it provisions, as printed; none for 0.
    pub(crate) busy_with: Option<String>,
    /// The nodes that wait for their turn, as printed; empty for none.
    pub(crate) waiting: String,
}

impl Cmsh {
    /// None where no status is in the answer.
    pub(crate) async fn queue(&self) -> PortResult<Option<Queue>> {
        let images = Script::default().then(Mode::SoftwareImage);
        let answer = self.ask(&images.then(Verb::ProvisioningStatus)).await?;
        Ok(queue_in(&answer.stdout))
    }

    /// The locked images; none where the answer is not the manual's table.
    pub(crate) async fn locked_images(&self) -> PortResult<Option<Vec<String>>> {
        let images = Script::default().then(Mode::SoftwareImage);
        let answer = self.ask(&images.then(Verb::IsLocked)).await?;
        Ok(locked_in(&answer.stdout))
    }

    /// What of it can be told; only where nothing can, an error.
    pub(super) async fn read_provisioning(&self) -> PortResult<Provisioning> {
        let (queue, locked) = (self.queue().await, self.locked_images().await);
        let queue = match (queue, &locked) {
            (Err(mut error), Err(_)) => {
                error.what = format!("cmsh says nothing of provisioning: {}", error.what);
                return Err(error);
            }
            (queue, _) => queue.ok().flatten(),
        };
        Ok(Provisioning {
            stopped: queue.as_ref().and_then(|queue| queue.stopped.clone()),
            waiting: queue.map(|queue| queue.waiting).unwrap_or_default(),
            locked_images: locked.ok().flatten().unwrap_or_default(),
        })
    }
}

fn queue_in(text: &str) -> Option<Queue> {
    let behind = |word: Provisioner| {
        let mut lines = text.lines().map(str::trim);
        lines.find_map(|line| line.strip_prefix(word.text()).map(str::trim))
    };
    let status = behind(Provisioner::Subsystem)?;
    let accepts = Provisioner::Accepting.is_in(&status.to_lowercase());
    let waits = |nodes: &&str| {
        let word = nodes.trim_matches(['<', '>']);
        !word.is_empty() && Provisioner::of(word) != Some(Provisioner::Nobody)
    };
    Some(Queue {
        stopped: (!accepts).then(|| shown(status)),
        busy_with: behind(Provisioner::Busy)
            .filter(|count| Provisioner::of(count) != Some(Provisioner::Zero))
            .map(shown),
        waiting: behind(Provisioner::Waiting)
            .filter(waits)
            .map(shown)
            .unwrap_or_default(),
    })
}

/// The rows of `Name Locked` that say yes.
fn locked_in(text: &str) -> Option<Vec<String>> {
    let titles = ImageTable::Titles.text();
    let is_head = |line: &&str| line.split_whitespace().eq(titles.split_whitespace());
    text.lines().find(is_head)?;
    let row = |line: &str| {
        let (name, locked) = line.trim().rsplit_once(char::is_whitespace)?;
        let locked = Boolean::of(locked).is_some_and(Boolean::value);
        locked.then(|| shown(name))
    };
    Some(text.lines().filter_map(row).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_manuals_provisioning() {
        let idle = "Provisioning subsystem status: idle, accepting requests\nNodes currently provisioning: 0\nNodes waiting to be provisioned: <none>\n";
        let nothing = Queue {
            stopped: None,
            busy_with: None,
            waiting: String::new(),
        };
        assert_eq!(queue_in(idle), Some(nothing));
        let busy = "Provisioning subsystem status: shutting down\nNodes currently provisioning: 2\nNodes waiting to be provisioned: node002..node003\n";
        let queue = queue_in(busy).unwrap();
        assert_eq!(queue.stopped.as_deref(), Some("shutting down"));
        assert_eq!(queue.busy_with.as_deref(), Some("2"));
        assert_eq!(queue.waiting, "node002..node003");
        assert_eq!(queue_in("x"), None);
        let locked = "Name           Locked\n-------------- -------\ndefault-image  yes\nother image    no\n";
        assert_eq!(locked_in(locked), Some(vec!["default-image".to_owned()]));
        assert_eq!(locked_in("default-image yes\n"), None, "no table");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}|[<>: a-z0-9\n-]{0,80}") {
            let _ = (queue_in(&text), locked_in(&format!("Name Locked\n{text}")));
        }
    }
}
