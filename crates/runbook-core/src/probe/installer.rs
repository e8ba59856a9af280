//! What a node on its way through a boot and an installation is asked, and what keeps it there.
//!
//! While a node is on its way nothing is done to it: acting again could catch it in the middle of its
//! installation. Where it stands and somebody else has to do something, the answer says what.

use super::Finding::{self, Blind, Holds, NotYet, Underway};
use super::{held, never, slow};
use crate::error::AdapterError;
use crate::journal::Baseline;
use crate::names::NodeName;
use crate::ports::{PortResult, Ports};
use crate::world::{BootId, Device, DeviceStatus, InstallerAsks, InstallerStep, PowerState};

/// A boot is over when Bright says UP, ssh answers, and the boot id is another one.
///
/// `UP` alone may only mean that the node answers a ping; an answering sshd alone may be the
/// installer's. While the status says anything else the boot is under way: acting again would reboot
/// a node in the middle of its installation.
pub(super) async fn rebooted(
    ports: &Ports,
    node: &NodeName,
    was_up: bool,
    before: Option<&Baseline>,
) -> PortResult<Finding> {
    let device = ports.manager.device(node).await?;
    boot_over(ports, node, &device, was_up, before).await
}

/// The same, or it has come to the installer's question.
pub(super) async fn at_installer(
    ports: &Ports,
    node: &NodeName,
    was_up: bool,
    before: Option<&Baseline>,
) -> PortResult<Finding> {
    let device = ports.manager.device(node).await?;
    match question(ports, node, &device).await? {
        InstallerAsks::Full(what) => Ok(Holds(format!("the installer of {node} asks: {what}"))),
        InstallerAsks::Other(what) => Ok(asks_else(node, &what)),
        InstallerAsks::Nothing => boot_over(ports, node, &device, was_up, before).await,
    }
}

/// Asked right before the leave is given.
pub(super) async fn installer_asks(ports: &Ports, node: &NodeName) -> PortResult<Finding> {
    let device = ports.manager.device(node).await?;
    Ok(match question(ports, node, &device).await? {
        InstallerAsks::Full(what) => Holds(format!("the installer of {node} asks: {what}")),
        InstallerAsks::Other(what) => asks_else(node, &what),
        InstallerAsks::Nothing => NotYet(format!(
            "the installer of {node} asks for nothing: it is [{}]",
            device.status_with_flags()
        )),
    })
}

pub(super) async fn provisioned(ports: &Ports, node: &NodeName) -> PortResult<Finding> {
    let device = ports.manager.device(node).await?;
    match question(ports, node, &device).await? {
        InstallerAsks::Full(what) => {
            return Ok(NotYet(format!("the installer of {node} asks: {what}")));
        }
        InstallerAsks::Other(what) => return Ok(asks_else(node, &what)),
        InstallerAsks::Nothing => {}
    }
    if let Some(finding) = on_its_way(ports, node, &device).await {
        return Ok(finding);
    }
    let shown = format!("{node} is [{}]", device.status_with_flags());
    Ok(match &device.status {
        DeviceStatus::Up => match ports.nodes.boot_id(node).await? {
            Some(boot) => Holds(format!("{shown}, boot {}", boot.0)),
            None => Underway(format!("{shown}, but ssh does not answer")),
        },
        DeviceStatus::Down => held(
            "installer-left",
            format!("{shown}, and was in its installer"),
            "power it on (`device; power -n NODE on` in cmsh; `reset` where its power is on and it hangs): its nextinstallmode is still FULL, so it asks again, and the run goes on by itself",
        ),
        _ => Underway(shown),
    })
}

/// Asked by an undo: the node was sent to its installer's question, and nobody is to answer it. Only a
/// reset by hand takes it from there.
///
/// A node that is up may be one that goes down in a moment. How long a reboot takes to show nobody knows, so
/// no time that has passed proves that it does not come: only another boot does.
pub(super) async fn out_of_installer(
    ports: &Ports,
    node: &NodeName,
    sent_from: Option<&BootId>,
) -> PortResult<Finding> {
    let device = ports.manager.device(node).await?;
    let mode = device.next_install_mode;
    let mode = mode.map_or_else(|| "empty".into(), |mode| mode.to_string());
    let shown = format!(
        "{node} is [{}], its nextinstallmode {mode}",
        device.status_with_flags()
    );
    let stands = |shown| {
        // The code of a node that is waited for and cannot be reached, whatever keeps it.
        held(
            "ssh-unreachable",
            shown,
            "let nobody confirm its FULL install, which would wipe the old data. With nextinstallmode SKIP a reset leaves the disk as it is: `device; power -n NODE reset` in cmsh, or the button; the undo goes on by itself. Where another mode is shown, `device; use NODE; set nextinstallmode SKIP; commit` first",
        )
    };
    if let InstallerAsks::Full(what) | InstallerAsks::Other(what) =
        question(ports, node, &device).await?
    {
        return Ok(stands(format!("{shown}, and its installer asks: {what}")));
    }
    Ok(match (&device.status, device.installer) {
        (DeviceStatus::Up, _) => match ports.nodes.boot_id(node).await? {
            Some(boot) if Some(&boot) == sent_from => held(
                "reboot-outstanding",
                format!("{shown}, still of the boot in which it was told to reboot"),
                "the reboot may still come, and the old data is put back behind it. Where it does not come within a few minutes, see that nextinstallmode is SKIP, which leaves the disk as it is, and send it: `device; reboot NODE` in cmsh; the undo goes on by itself",
            ),
            Some(boot) => Holds(format!("{shown}, boot {}", boot.0)),
            None => Underway(format!("{shown}, but ssh does not answer")),
        },
        (DeviceStatus::Failed(_) | DeviceStatus::Unreachable(_), _)
        | (_, Some(InstallerStep::WaitsForUser | InstallerStep::Maintenance)) => stands(shown),
        (DeviceStatus::Down, _) => held(
            "ssh-unreachable",
            shown,
            "where it does not come up by itself, power it on: with nextinstallmode SKIP its disk stays as it is; the undo goes on by itself",
        ),
        _ => Underway(shown),
    })
}

pub(super) async fn nothing_cleared_at_boot(ports: &Ports, node: &NodeName) -> PortResult<Finding> {
    let Some(devices) = ports.manager.device(node).await?.cleared_at_boot else {
        return Ok(Holds(format!(
            "NOT seen whether the next boot of {node} clears a block device: the cluster manager does not tell"
        )));
    };
    Ok(if devices.is_empty() {
        Holds(format!("no boot of {node} clears a block device"))
    } else {
        never(
            "block-devices-cleared",
            format!(
                "blockdevicesclearedonnextboot of {node} names {}",
                devices.join(", ")
            ),
            "its next boot wipes them, whatever datanode says: `device; use NODE; clear blockdevicesclearedonnextboot; commit` in cmsh, do not reboot it before, then resume",
        )
    })
}

async fn boot_over(
    ports: &Ports,
    node: &NodeName,
    device: &Device,
    was_up: bool,
    before: Option<&Baseline>,
) -> PortResult<Finding> {
    if let Some(finding) = on_its_way(ports, node, device).await {
        return Ok(finding);
    }
    let shown = format!("{node} is [{}]", device.status_with_flags());
    match &device.status {
        // A node that was up and was told to reboot is on its way down; told again, it might be
        // caught in the middle of its installation.
        DeviceStatus::Down if was_up && before.is_some() => return Ok(stays_down(shown)),
        DeviceStatus::Down if before.is_some() => return Ok(powered(ports, node, shown).await),
        DeviceStatus::Up => {}
        _ => return Ok(NotYet(shown)),
    }
    let Some(now) = ports.nodes.boot_id(node).await? else {
        return Ok(Underway(format!("{shown}, but ssh does not answer")));
    };
    Ok(match before {
        None if was_up => NotYet(format!("{shown}, and nothing has rebooted it yet")),
        // To be powered on, it would stay up as it is, and its disk what it was.
        None => never(
            "node-came-up",
            format!("{shown}, but was off when the plan was made"),
            "somebody has powered it on, and its old etcd may run: a unit that is enabled in its own system starts without the role. First see whether its etcd data is intact, or a quorum answers: then `restore-runbook undo`, as long as no disk is wiped, and give it the role back by hand (`configurationoverlay; use OVERLAY; append nodes NODE; commit` in cmsh). Only where it is to be wiped all the same: power it off, then resume; keep a copy of its data before, where there is any",
        ),
        Some(Baseline { boot_id: Some(old) }) if *old == now => {
            NotYet(format!("{shown}, still of the same boot"))
        }
        Some(_) => Holds(format!("{shown}, boot {}", now.0)),
    })
}

/// What its installer asks, where it is at a point at which it can: `CMDaemon` may still list a question
/// of an earlier boot.
async fn question(ports: &Ports, node: &NodeName, device: &Device) -> PortResult<InstallerAsks> {
    match device.installer {
        Some(InstallerStep::Begun | InstallerStep::WaitsForUser) => {
            ports.manager.installer_asks(node).await
        }
        _ => Ok(InstallerAsks::Nothing),
    }
}

/// Behind Reprovision a node in its installer is a danger: what it may ask leave for would take restored
/// data along. One that is merely off is said to be so.
pub(super) async fn silent(ports: &Ports, node: &NodeName, mut error: AdapterError) -> Finding {
    let Ok(device) = ports.manager.device(node).await else {
        return Blind(error);
    };
    let shown = format!("{node} is [{}]", device.status_with_flags());
    if device.status == DeviceStatus::Up {
        return Blind(error);
    }
    if let (DeviceStatus::Booting(_), Some(InstallerStep::Begun | InstallerStep::WaitsForUser)) =
        (&device.status, device.installer)
        && let Ok(InstallerAsks::Full(what)) = ports.manager.installer_asks(node).await
    {
        return held(
            "installer-asks-again",
            format!("{shown}, and its installer asks: {what}"),
            "nobody in this run gives it leave: a FULL install would wipe the disk once more, guard and restored data included. Find out why it asks (a changed disk, a failed check). To keep the disk, `device; use NODE; set nextinstallmode SKIP; commit` in cmsh and reset it by hand; where the disk is lost, confirm it, `abandon` the run and plan anew",
        );
    }
    error.what = format!("{}; {shown}", error.what);
    Blind(error)
}

fn asks_else(node: &NodeName, what: &str) -> Finding {
    held(
        "installer-asks-else",
        format!("the installer of {node} asks for something else than FULL: {what}"),
        "this run answers nothing but a FULL install: answer it on the node's console or with `installerinteractions` of cmsh's device mode; the run then goes on by itself",
    )
}

/// A node between power-on and up, and what keeps it there; none for one that is up or down.
async fn on_its_way(ports: &Ports, node: &NodeName, device: &Device) -> Option<Finding> {
    let shown = format!("{node} is [{}]", device.status_with_flags());
    Some(match (&device.status, device.installer) {
        (DeviceStatus::Failed(_), _) => never(
            "installer-failed",
            shown,
            "its installer has given up: see /var/log/node-installer on the head node and `device; synclog NODE` in cmsh, mend what they say, reboot the node by hand, and resume at any time after that",
        ),
        (DeviceStatus::Unreachable(_), _) => never(
            "installer-unreachable",
            shown,
            "its installer does not answer any more, as after a crash or with the network away: look at its console and at the end of /var/log/node-installer on the head node, reset it by hand, and resume at any time after that",
        ),
        (DeviceStatus::Booting(_), Some(InstallerStep::Maintenance)) => never(
            "node-in-maintenance",
            shown,
            "its installer has stopped in maintenance mode: the FULL install was denied, or MAIN was chosen. Find out by whom and why; where it shall go on, see that nextinstallmode is FULL, reboot the node by hand, and resume",
        ),
        (DeviceStatus::Booting(_), Some(InstallerStep::WaitsForUser)) => held(
            "installer-waits",
            shown,
            "its installer waits for an answer: `device; installerinteractions` in cmsh shows the question and answers it, as the node's console does. It asks before a FULL install where datanode is on for the node, its category or a role of it. The run goes on by itself",
        ),
        (DeviceStatus::Booting(_), Some(InstallerStep::WaitsForProvisioning)) => {
            waits_for_its_image(ports, shown).await
        }
        (DeviceStatus::Booting(_), _) => Underway(shown),
        _ => return None,
    })
}

/// A machine takes minutes to its first sign; one that hangs, or stays off, takes for ever.
fn stays_down(shown: String) -> Finding {
    slow(
        "node-stays-down",
        shown,
        "a machine takes minutes to its first sign. Look at its console and at `device; power -n NODE status` in cmsh: one that is off is powered on with `device; power -n NODE on`, one that is on and hangs, as after a panic, takes `device; power -n NODE reset`, for powering it on leaves it as it is. Its nextinstallmode is FULL, and the run goes on by itself once it boots",
    )
}

/// Up again, with nothing old on its disk that this tool knows of, and the mode as it was set.
pub(super) fn uncleared(seen: String) -> Finding {
    slow(
        "install-mode-stays",
        seen,
        "the installer clears nextinstallmode when it is through: /var/log/node-installer on the head node shows whether it was there. Where it was not, the node has booted from its own disk: reset it by hand, and have it boot from the network. Where it has ended well, `device; use NODE; clear nextinstallmode; commit` in cmsh. The run goes on by itself",
    )
}

/// Provisioning needs an unlocked image and a provisioning node with room.
async fn waits_for_its_image(ports: &Ports, shown: String) -> Finding {
    let Ok(all) = ports.manager.provisioning().await else {
        return Underway(shown);
    };
    if !all.locked_images.is_empty() {
        return held(
            "image-locked",
            format!(
                "{shown}, and software image {} is locked",
                all.locked_images.join(", ")
            ),
            "where that is the node's image: find out who has locked it and why, then `softwareimage; unlock IMAGE` in cmsh; the node picks it up, and the run goes on by itself",
        );
    }
    if let Some(status) = all.stopped {
        return held(
            "provisioning-stopped",
            format!("{shown}, and the provisioning subsystem says: {status}"),
            "see `softwareimage; provisioningstatus -a` in cmsh and /var/log/cmdaemon; the run goes on by itself once the node is served",
        );
    }
    if !all.waiting.is_empty() {
        return held(
            "provisioning-queue",
            format!(
                "{shown}, and waiting to be provisioned are: {}",
                all.waiting
            ),
            "it waits for its turn: `softwareimage; provisioningstatus -a` in cmsh shows the queue. Let it empty, or cancel what can wait; the run goes on by itself",
        );
    }
    Underway(shown)
}

/// A node that was told to power on, and is down.
async fn powered(ports: &Ports, node: &NodeName, shown: String) -> Finding {
    match ports.manager.power(node).await {
        Ok(PowerState::Silent(said)) => held(
            "bmc-silent",
            format!("{shown}, and its power control does not answer: {said}"),
            "power it on by hand, at the machine or its own management; its nextinstallmode is FULL, and the run goes on by itself once it boots",
        ),
        // Powering on leaves it as it is: it is on its way, or hangs.
        Ok(PowerState::On) => stays_down(format!("{shown}, its power is on")),
        Ok(PowerState::Off) => NotYet(format!("{shown}, its power is off")),
        Err(_) => NotYet(shown),
    }
}
