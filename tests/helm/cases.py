"""Sets of values: the defaults, and one for each switch of the chart."""

from typing import Any

_SHARED: dict[str, Any] = {"state": {"url": "valkeys://valkey.example.com:6379/0"}}
_DIGEST = "sha256:" + "0123456789abcdef" * 4
# As in docs/kubernetes.md.
PRODUCTION: dict[str, Any] = {
    "image": {"repository": "registry.example.com/privyseal", "digest": _DIGEST},
    "replicaCount": 3,
    "persistence": {"enabled": False},
    "state": {
        "url": "valkeys+sentinel://sentinel.valkey.svc:26379/trading/0",
        "username": "privyseal",
        "existingSecret": "valkey-password",
        "ca": {"existingConfigMap": "valkey-ca"},
    },
    "vault": {"ca": {"existingConfigMap": "vault-ca"}},
    "tls": {
        "certManager": {"enabled": True, "issuerRef": {"name": "desk", "kind": "ClusterIssuer"}}
    },
    "logins": {"enabled": True},
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
}

CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "production": PRODUCTION,
    "replicas-without-disks": {**_SHARED, "replicaCount": 3, "persistence": {"enabled": False}},
    "replicas-with-disks": {
        **_SHARED,
        "replicaCount": 3,
        "audit": {"destination": "file"},
        "persistence": {
            "size": "10Gi",
            "storageClassName": "fast",
            "accessMode": "ReadWriteOncePod",
            "annotations": {"backup": "daily"},
        },
    },
    "autoscaling": {
        **_SHARED,
        "autoscaling": {
            "enabled": True,
            "maxReplicas": 9,
            "metrics": [
                {
                    "type": "Pods",
                    "pods": {
                        "metric": {"name": "privyseal_rpcs_in_flight"},
                        "target": {"type": "AverageValue", "averageValue": "200"},
                    },
                }
            ],
        },
        "persistence": {"enabled": False},
    },
    "valkey-to-try": {
        "replicaCount": 2,
        "persistence": {"enabled": False},
        "valkey": {"enabled": True, "image": {"digest": _DIGEST}},
    },
    "embedded-store": {"embeddedStore": {"enabled": True, "existingSecret": "store-key"}},
    "custodian": {
        "keyCreation": {"enabled": True},
        "config": {"outbound": {"timeout_ms": 5000}},
        "networkPolicy": {"venues": {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}},
    },
    "venue-clock": {"config": {"venues": {"whitebit": {"clock_offset_ms": "estimate"}}}},
    "settings": {
        "config": {
            "server": {"workers": 2, "drain_delay_ms": 7500, "grace_ms": 0, "reflection": True},
            "store": {"custody": "transit-where-possible", "hard_ttl_ms": 1000000},
            "log": {"level": "warning"},
            "venues": {"kiiex": {"base_urls": {"staging": "https://apstage.proxy.kiiex.io"}}},
        },
        "audit": {"destination": "file"},
        **_SHARED,
    },
    "vault-approle": {
        "vault": {
            "address": "https://vault.example.com",
            "namespace": "trading",
            "auth": {"method": "approle", "existingSecret": "approle", "mount": "desk"},
        }
    },
    "vault-jwt": {
        "vault": {
            "address": "http://vault.vault.svc.cluster.local:8200",
            "allowPlaintext": True,
            "auth": {"method": "jwt", "mount": "cluster-b", "expirationSeconds": 600},
        }
    },
    "vault-certificate": {
        "vault": {
            "ca": {"existingSecret": "vault-ca", "key": "ca.pem"},
            "auth": {"method": "tls-certificate", "existingSecret": "vault-client"},
        },
        "networkPolicy": {
            "vault": {"ports": [8200, 8201], "to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}]}
        },
    },
    "vault-token-file": {"vault": {"auth": {"method": "token-file", "existingSecret": "token"}}},
    "valkey-cluster-certificate": {
        "state": {
            "url": "valkeys+cluster://v1.cache.svc.cluster.local:6379,v2.cache.svc.cluster.local",
            "prefix": "desk-b",
            "ca": {"existingSecret": "valkey-ca"},
            "clientCertificate": {"existingSecret": "valkey-client"},
        }
    },
    "valkey-sentinel-passwords": {
        "state": {
            "url": "valkey+sentinel://s1:26379,s2:26380/trading/0",
            "allowPlaintext": True,
            "existingSecret": "valkey-passwords",
            "sentinelPasswordKey": "sentinel",
        }
    },
    "cert-manager": {
        "tls": {
            "certManager": {
                "enabled": True,
                "issuerRef": {"name": "desk"},
                "extraDnsNames": ["privyseal.example.com"],
                "privateKey": {"algorithm": "Ed25519"},
            },
            "clientCa": {"existingConfigMap": "callers-ca", "key": "trust.pem"},
        }
    },
    "csi-cert-manager-spiffe": {"tls": {"csi": {"enabled": True}}},
    "csi-cert-manager": {
        "tls": {
            "csi": {
                "enabled": True,
                "driver": "csi.cert-manager.io",
                "volumeAttributes": {"csi.cert-manager.io/issuer-name": "desk"},
            },
            "clientCa": {"existingSecret": "callers-ca"},
        }
    },
    "csi-spire": {
        "tls": {"csi": {"enabled": True, "driver": "csi.spiffe.io"}},
        "extraContainers": [
            {
                "name": "spiffe-helper",
                "image": "registry.example.com/spiffe-helper:0.11.0",
                "volumeMounts": [
                    {"name": "spiffe-workload-api", "mountPath": "/spiffe", "readOnly": True},
                    {"name": "tls", "mountPath": "/tls"},
                ],
                "resources": {"limits": {"memory": "32Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    },
    "tokens-and-certificates": {
        "jwt": {
            "enabled": True,
            "issuers": {
                "desk": {
                    "issuer": "https://login.example.com/",
                    "audience": "privyseal",
                    "jwks_url": "https://login.example.com/jwks.json",
                }
            },
        },
        "networkPolicy": {"extraEgress": [{"ports": [{"port": 443, "protocol": "TCP"}]}]},
        "config": {"server": {"jwt": {"leeway_ms": 5000}}},
    },
    "tokens-of-the-cluster": {
        "tls": {"clientCa": {"enabled": False}},
        "jwt": {"enabled": True, "kubernetes": {"enabled": True}},
        "networkPolicy": {"kubernetesApi": {"cidrs": ["192.0.2.10/32", "192.0.2.11/32"]}},
    },
    # OpenShift gives each namespace a user and a group of its own, and has its DNS elsewhere.
    "users-of-the-cluster": {
        "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
        "tls": {
            "csi": {
                "enabled": True,
                "volumeAttributes": {"spiffe.csi.cert-manager.io/fs-group": "1000650000"},
            }
        },
        "networkPolicy": {
            "dns": {
                "to": [
                    {
                        "namespaceSelector": {
                            "matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}
                        }
                    }
                ],
                "ports": [5353],
            }
        },
    },
    "recreate": {
        **_SHARED,
        "persistence": {"enabled": False},
        "strategy": {"type": "Recreate"},
    },
    "valkey-of-several-namespaces": {
        "state": {
            "url": "valkeys+sentinel://valkey-0.valkey.a.svc:26379,valkey-1.valkey.a.svc:26379,"
            "sentinel.b.svc.cluster.local/trading/0"
        }
    },
    "network-policy-off": {"networkPolicy": {"enabled": False}},
    "network-peers": {
        "networkPolicy": {
            "callers": [{"namespaceSelector": {"matchLabels": {"desk": "a"}}}],
            "monitoring": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
            "extraIngress": [{"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}],
            "dns": {"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": [53, 5353]},
        }
    },
    "ipv6": {"listenAddress": "[::]", "vault": {"address": "https://[2001:db8::7]:8200"}},
    "monitoring": {
        "serviceMonitor": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "interval": "15s",
            "scrapeTimeout": "5s",
            "metricRelabelings": [{"action": "labeldrop", "regex": "worker"}],
        },
        "prometheusRule": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "alertLabels": {"team": "custody"},
            "disabled": ["PrivysealRpcSlow"],
            "runbookUrl": "https://runbooks.example.com/",
        },
        "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Custody"}},
    },
    "pod-monitor": {"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "names-and-labels": {
        "nameOverride": "signer",
        "commonLabels": {"team": "custody"},
        "commonAnnotations": {"example.com/owner": "desk"},
        "podLabels": {"tier": "secret"},
        "podAnnotations": {"example.com/scan": "yes"},
        "service": {
            "type": "LoadBalancer",
            "appProtocol": "tls",
            "annotations": {"example.com/internal": "true"},
        },
        "serviceAccount": {"name": "signer", "annotations": {"example.com/role": "signer"}},
        "clusterDomain": "desk.example",
        "ports": {"grpc": 8443, "ops": 8444, "token": 8445, "metrics": 8446},
    },
    "pod-extras": {
        "global": {"imagePullSecrets": [{"name": "global-pull"}]},
        "imagePullSecrets": [{"name": "pull"}],
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"pool": "secure"},
        "tolerations": [{"key": "secure", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"podAntiAffinity": {}},
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "minDomains": 3,
            }
        ],
        "extraEnv": [{"name": "OTEL_SERVICE_NAME", "value": "signer"}],
        "extraVolumes": [{"name": "jwks", "configMap": {"name": "jwks"}}],
        "extraVolumeMounts": [{"name": "jwks", "mountPath": "/etc/privyseal/jwks"}],
        "extraInitContainers": [
            {
                "name": "wait",
                "image": "registry.example.com/wait:1",
                "resources": {"limits": {"memory": "16Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plain"}},
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-templated\n",
        ],
    },
    "without-the-optional": {
        "serviceAccount": {"create": False},
        "podDisruptionBudget": {"enabled": False},
        "policy": {"existingConfigMap": "policy-of-ours"},
        "tests": {"enabled": False},
        "tls": {"existingSecret": "server-tls"},
        "topologySpreadConstraints": [],
    },
}
