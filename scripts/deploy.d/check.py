"""Checks of what deploy/ holds, beyond what its formats demand: that it is as closed as docs/deploy.md says.

check.py compose FILE PROJECT.json CREDENTIALS      FILE as it is, as a compose implementation understood it, and a directory that `lynk certs`
                                                    and `lynk init` have filled
check.py seccomp BASE OURS                          the profile differs from the engines' default by the three calls of io_uring
check.py manifests FILE                             rendered manifests
"""

import copy
import json
import os
import re
import sys

import yaml

IO_URING = {"names": ["io_uring_enter", "io_uring_register", "io_uring_setup"], "action": "SCMP_ACT_ALLOW"}
STORES = {"postgres", "cassandra", "kafka", "redis"}
wrong = []


def must(condition, what):
    if not condition:
        wrong.append(what)


def closed(name, service, production):
    """A container that may do little: nothing of it can be written, it has no right, and it gets none."""
    options = service.get("security_opt") or []
    must(service.get("read_only") is True, f"{name}: its root can be written")
    must(service.get("cap_drop") == ["ALL"] and not service.get("cap_add"), f"{name}: it keeps capabilities")
    must("no-new-privileges:true" in options, f"{name}: it may get privileges")
    must(not service.get("privileged") and service.get("pid") != "host", f"{name}: it is privileged")
    must(service.get("network_mode") in (None, "none", "service:lynk"), f"{name}: it is on the host's network")
    must((service.get("pids_limit") or 0) > 0, f"{name}: it may start any number of processes")
    logging = service.get("logging") or {}
    must((logging.get("options") or {}).get("max-size"), f"{name}: its log has no limit")
    if production:
        must(re.fullmatch(r"[1-9][0-9]*:[0-9]+", service.get("user", "")), f"{name}: it runs as root")


def compose(path, project_path, credentials):
    production = "production" in path
    here = os.path.dirname(os.path.abspath(path))
    with open(project_path, encoding="utf-8") as file:
        project = json.load(file)
    networks = project.get("networks", {})
    for name, service in project["services"].items():
        closed(name, service, production)
        image = service.get("image", "")
        must(re.search(r":[0-9]+\.[0-9]+[^:]*$|^lynk:dev$", image), f"{name}: {image} is not one version")
        for option in service.get("security_opt") or []:
            if option.startswith("seccomp"):
                must(os.path.exists(os.path.join(here, option.split(":", 1)[1])), f"{name}: no such profile: {option}")
        if name == "lynk":
            must("seccomp:../seccomp/lynk.json" in service["security_opt"], "lynk: without io_uring")
        for variable in service.get("environment") or {}:
            # The id of an access key is no secret.
            hides = re.search("PASSWORD|SECRET|TOKEN|KEY", variable) and not variable.endswith(("_FILE", "__S3__ACCESS_KEY"))
            must(not hides, f"{name}: {variable} would be seen in the environment")
        ports = service.get("ports") or []
        must(not ports or name == "door" or not production, f"{name}: it has ports on the host")
        must(production or all(port.get("host_ip") == "127.0.0.1" for port in ports), f"{name}: others reach its ports")
        if name in STORES:
            must(list(service.get("networks", {})) == ["private"], f"{name}: it is not on the private network alone")
        once = service.get("restart") == "no"
        must(once or service.get("healthcheck") or name == "lynk", f"{name}: nobody sees that it is ill")
        for volume in service.get("volumes") or []:
            if volume["type"] == "bind" and "state" not in volume["source"]:
                must(os.path.exists(volume["source"]), f"{name}: {volume['source']} is not there")
                must(volume.get("read_only"), f"{name}: {volume['source']} may be written")
    if not production:
        return
    must(STORES <= set(project["services"]), f"stores that are missing: {sorted(STORES - set(project['services']))}")
    must(networks["private"].get("internal") is True, "the private network leads outside")
    must(not networks["public"].get("internal"), "the public network leads nowhere")
    used = {secret["source"] for service in project["services"].values() for secret in service.get("secrets") or []}
    must(used == set(project["secrets"]), f"secrets: {sorted(used ^ set(project['secrets']))}")
    # A certificate that browsers know, and the secret of a bucket's access key, are for the operator to get.
    for secret in used - {"door.pem", "lynk_s3.password"}:
        made = os.path.join(credentials, secret)
        must(os.path.exists(made), f"nothing that docs/deploy.md says makes {secret}")
    for secret in used:
        must(os.path.basename(project["secrets"][secret]["file"]) == secret, f"{secret} is another file")
    for name, service in project["services"].items():
        given = {secret["source"] for secret in service.get("secrets") or []}
        administers = ("postgres", "cassandra-setup", "kafka-storage", "kafka-setup")
        must(not any("admin" in one for one in given) or name in administers, f"{name} has the administrator's")
        must(not any("migrate" in one for one in given) or name == "migrate", f"{name} has the identity that migrates")
        must("ca.key" not in given, f"{name} could sign certificates")
        # Kafka's tools take passwords in no other form.
        must(name in ("lynk", "migrate", "kafka-setup") or not any(one.startswith("lynk_") for one in given), f"{name} has Lynk's")
        must(name == "lynk" or "lynk_s3.password" not in given, f"{name} has the key of the bucket")
        # Whoever sends notifications is no part of Lynk.
        must(name == "kafka-setup" or not any("notification" in one for one in given), f"{name} has the identity of who notifies")


def seccomp(base_path, ours_path):
    with open(base_path, encoding="utf-8") as file:
        base = json.load(file)
    with open(ours_path, encoding="utf-8") as file:
        ours = json.load(file)
    calls = [name for rule in base["syscalls"] for name in rule["names"]]
    must(not any("io_uring" in name for name in calls), "the default allows calls of io_uring by now")
    expected = copy.deepcopy(base)
    expected["syscalls"].append(IO_URING)
    must(ours == expected, "the profile is not the default and io_uring")


def manifests(path):
    with open(path, encoding="utf-8") as file:
        all_of = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(file) if one}
    kinds = [kind for kind, _ in all_of]
    for kind in ("StatefulSet", "Service", "NetworkPolicy", "PodDisruptionBudget", "ConfigMap", "ServiceAccount"):
        must(kind in kinds, f"there is no {kind}")
    spec = next(one["spec"] for (kind, _), one in all_of.items() if kind == "StatefulSet")
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    context, rights = pod["securityContext"], container["securityContext"]
    must(spec["replicas"] == 1, "two servers would be two chats")
    must(context["runAsNonRoot"] and context["runAsUser"] > 0, "it runs as root")
    must(rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"], "its root can be written")
    must(rights["capabilities"] == {"drop": ["ALL"]}, "it keeps capabilities")
    must(context["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost"), "it may call everything")
    must(not pod["automountServiceAccountToken"], "it gets a token of the cluster")
    probes = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    must(list(probes.values()) == ["/startupz", "/livez", "/readyz"], f"probes: {probes}")
    must("limits" in container["resources"], "its memory has no limit")
    must("Secret" not in kinds, "a secret would be in the release")
    labels = spec["template"]["metadata"]["labels"].items()
    for (kind, name), one in all_of.items():
        chosen = {
            "NetworkPolicy": lambda one: one["spec"]["podSelector"]["matchLabels"],
            "PodDisruptionBudget": lambda one: one["spec"]["selector"]["matchLabels"],
            "Service": lambda one: one["spec"]["selector"],
        }.get(kind)
        must(chosen is None or chosen(one).items() <= labels, f"{kind} {name} selects other pods")
    ingress = [one["spec"]["ingress"] for (kind, _), one in all_of.items() if kind == "NetworkPolicy"][0]
    must(all(rule.get("from") or [port["port"] for port in rule["ports"]] == ["clients"] for rule in ingress), "everybody reaches the admin listener")


{"compose": compose, "seccomp": seccomp, "manifests": manifests}[sys.argv[1]](*sys.argv[2:])
for line in wrong:
    print(f"deploy: {line}", file=sys.stderr)
sys.exit(1 if wrong else 0)
