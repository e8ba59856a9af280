//! A lab with two head nodes.

use std::fs;

use lab::{Head, Lab, LabOptions, build_programs};

fn said(lab: &Lab, head: Head, script: &str) -> String {
    let output = lab
        .command_on(head, "sh", ["-c", script])
        .output()
        .expect("a shell");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// `/cm/shared` is at the active head node and at the nodes; the passive one shows its own disk there.
#[test]
fn the_shared_file_system_follows_the_active_head() {
    build_programs().expect("programs");
    let options = LabOptions {
        nodes: 1,
        heads: 2,
        wait_healthy: false,
        ..LabOptions::default()
    };
    let lab = Lab::start(&options).expect("lab");
    let [first, second] = [Head::First, Head::Second];
    let node = lab.nodes()[0];
    fs::write(lab.shared().join("kept"), "before").expect("write");
    let show = "cat /cm/shared/kept; cat /var/spool/cmd/state; ls /cm/shared; hostname";
    assert_eq!(said(&lab, first, show), "beforeACTIVE\nkept\nhead");
    assert_eq!(said(&lab, second, show), "PASSIVE\nREADME\nhead2");
    lab.fail_over(true).expect("failover");
    fs::write(lab.shared().join("kept"), "after").expect("write");
    assert_eq!(said(&lab, first, show), "beforePASSIVE\nREADME\nkept\nhead");
    assert_eq!(said(&lab, second, show), "afterACTIVE\nkept\nhead2");
    assert_eq!(lab.ssh(node, "cat /cm/shared/kept").expect("ssh"), "after");
    // And back again: what was left on its disk is out of sight.
    lab.fail_over(false).expect("failover");
    assert_eq!(said(&lab, first, show), "afterACTIVE\nkept\nhead");
    assert_eq!(said(&lab, second, show), "PASSIVE\nREADME\nhead2");
    assert_eq!(
        said(&lab, second, "ssh -o BatchMode=yes node001 hostname"),
        "node001"
    );
    lab.cmdaemon(false).expect("stop");
    assert!(lab.cmsh("device; status").is_err());
    lab.cmdaemon(true).expect("start");
    assert!(lab.cmsh("device; status").expect("cmsh").contains("head2"));
}
