{{/* The pod, of a Deployment and of a StatefulSet alike. */}}

{{- define "privyseal.pod" -}}
metadata:
  labels:
    {{- $labels := include "privyseal.labels" . | fromYaml }}
    {{- toYaml (merge (deepCopy .Values.podLabels) $labels) | nindent 4 }}
  annotations:
    # The policy is not among it: pods read that again by themselves.
    checksum/config: {{ include "privyseal.toml" . | sha256sum }}
    {{- with merge (deepCopy .Values.podAnnotations) .Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "privyseal.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "privyseal.terminationSeconds" . }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with include "privyseal.pullSecrets" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: privyseal
      image: {{ include "privyseal.image" (dict "image" .Values.image "tag" .Chart.AppVersion) }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/privyseal/config/privyseal.toml]
      {{- with .Values.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: grpc, containerPort: {{ int .Values.ports.grpc }}, protocol: TCP}
        {{- if include "privyseal.hasTokenPort" . }}
        - {name: grpc-token, containerPort: {{ int .Values.ports.token }}, protocol: TCP}
        {{- end }}
        - {name: health, containerPort: {{ int .Values.ports.ops }}, protocol: TCP}
        - {name: metrics, containerPort: {{ int .Values.ports.metrics }}, protocol: TCP}
      startupProbe:
        grpc: {port: {{ int .Values.ports.ops }}, service: liveness}
        periodSeconds: {{ int .Values.startupProbe.periodSeconds }}
        failureThreshold: {{ int .Values.startupProbe.failureThreshold }}
      livenessProbe:
        grpc: {port: {{ int .Values.ports.ops }}, service: liveness}
        periodSeconds: {{ int .Values.livenessProbe.periodSeconds }}
        timeoutSeconds: {{ int .Values.livenessProbe.timeoutSeconds }}
        failureThreshold: {{ int .Values.livenessProbe.failureThreshold }}
      readinessProbe:
        grpc: {port: {{ int .Values.ports.ops }}, service: readiness}
        periodSeconds: {{ int .Values.readinessProbe.periodSeconds }}
        timeoutSeconds: {{ int .Values.readinessProbe.timeoutSeconds }}
        failureThreshold: {{ int .Values.readinessProbe.failureThreshold }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        {{- include "privyseal.volumeMounts" . | nindent 8 }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "privyseal.volumes" . | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $own := dict "labelSelector" (dict "matchLabels" (include "privyseal.selectorLabels" $ | fromYaml)) }}
    - {{ toYaml (merge (deepCopy .) $own) | nindent 6 | trim }}
    {{- end }}
  {{- end }}
{{- end -}}
