{{/* Names and labels. */}}

{{- define "privyseal.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end -}}

{{/* 52 characters at most, as a StatefulSet puts ten more behind it in a label. */}}
{{- define "privyseal.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := include "privyseal.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "privyseal.selectorLabels" -}}
app.kubernetes.io/name: {{ include "privyseal.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "privyseal.valkeySelectorLabels" -}}
app.kubernetes.io/name: {{ include "privyseal.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: valkey
{{- end -}}

{{- define "privyseal.testSelectorLabels" -}}
app.kubernetes.io/name: {{ include "privyseal.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end -}}

{{/* Labels that every object has, in which none says what it is part of. */}}
{{- define "privyseal.sharedLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ include "privyseal.name" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "privyseal.labels" -}}
{{ include "privyseal.selectorLabels" . }}
{{ include "privyseal.sharedLabels" . }}
{{- end -}}

{{/* The metadata of an object: dict "root" . "name" … "labels" … "annotations" … */}}
{{- define "privyseal.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- $own := include (.labelsOf | default "privyseal.labels") .root | fromYaml }}
  {{- toYaml (merge (deepCopy (.labels | default dict)) $own) | nindent 2 }}
{{- with merge (deepCopy (.annotations | default dict)) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "privyseal.valkeyLabels" -}}
{{ include "privyseal.valkeySelectorLabels" . }}
{{ include "privyseal.sharedLabels" . }}
{{- end -}}

{{- define "privyseal.testLabels" -}}
{{ include "privyseal.testSelectorLabels" . }}
{{ include "privyseal.sharedLabels" . }}
{{- end -}}

{{- define "privyseal.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "privyseal.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "privyseal.tlsSecret" -}}
{{- .Values.tls.existingSecret | default (printf "%s-tls" (include "privyseal.fullname" .)) -}}
{{- end -}}

{{- define "privyseal.policyConfigMap" -}}
{{- .Values.policy.existingConfigMap | default (printf "%s-policy" (include "privyseal.fullname" .)) -}}
{{- end -}}

{{/* dict "image" … "tag" …: by digest, if there is one. */}}
{{- define "privyseal.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .tag }}
{{- end -}}
{{- end -}}

{{- define "privyseal.pullSecrets" -}}
{{- with concat (.Values.global.imagePullSecrets | default list) .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
