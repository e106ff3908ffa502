package io.privyseal;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslContext;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import io.privyseal.v1.Header;
import io.privyseal.v1.LoginRequest;
import io.privyseal.v1.LoginResponse;
import io.privyseal.v1.ReportAnswerRequest;
import io.privyseal.v1.ReportAnswerResponse;
import io.privyseal.v1.SignRequest;
import io.privyseal.v1.SignResponse;
import io.privyseal.v1.SignedHttpRequest;
import io.privyseal.v1.SigningServiceGrpc.SigningServiceImplBase;
import io.privyseal.v1.WatchSessionRequest;
import io.privyseal.v1.WatchSessionResponse;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A gRPC server on loopback that answers as a test says, and signs by adding a header. */
final class LoopbackServer extends SigningServiceImplBase implements AutoCloseable {
    final List<Message> requests = new CopyOnWriteArrayList<>();
    final List<Metadata> metadata = new CopyOnWriteArrayList<>();
    final BlockingQueue<StatusAndDetails> failures = new LinkedBlockingQueue<>();
    final BlockingQueue<StreamObserver<WatchSessionResponse>> watches = new LinkedBlockingQueue<>();
    final List<Header> headers = new CopyOnWriteArrayList<>();
    final CountDownLatch cancelled = new CountDownLatch(1);
    volatile boolean hangs;
    volatile String venue = "http://127.0.0.1:1";
    private final Server server;

    record StatusAndDetails(Status status, Message... details) {}

    LoopbackServer() throws IOException {
        this(0, null);
    }

    LoopbackServer(int port, SslContext tls) throws IOException {
        NettyServerBuilder builder = NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", port));
        if (tls != null) {
            builder.sslContext(tls);
        }
        server = builder.addService(ServerInterceptors.intercept(this, new Recorder()))
                .build()
                .start();
    }

    String target() {
        return "127.0.0.1:" + server.getPort();
    }

    int port() {
        return server.getPort();
    }

    PrivysealClient client() {
        return PrivysealClient.builder().target(target()).plaintext().build();
    }

    void failNext(Status status, String reason, Message... more) {
        Message[] details = new Message[more.length + 1];
        details[0] = ErrorInfo.newBuilder()
                .setDomain("privyseal")
                .setReason(reason)
                .putMetadata("key", "keys/a")
                .build();
        System.arraycopy(more, 0, details, 1, more.length);
        failures.add(new StatusAndDetails(status, details));
    }

    @Override
    public void sign(SignRequest request, StreamObserver<SignResponse> answer) {
        requests.add(request);
        if (hangs) {
            Context.current().addListener(context -> cancelled.countDown(), Runnable::run);
            return;
        }
        if (failed(answer)) {
            return;
        }
        SignedHttpRequest.Builder signed = SignedHttpRequest.newBuilder()
                .setMethod(request.getHttpRequest().getMethod())
                .setUrl(venue + request.getHttpRequest().getPath())
                .addHeaders(Header.newBuilder().setName("X-Signature").setValue("s" + requests.size()))
                .addAllHeaders(headers)
                .setBody(request.getHttpRequest().getBody());
        answer.onNext(SignResponse.newBuilder()
                .setSignedHttpRequest(signed)
                .setNonce("7")
                .build());
        answer.onCompleted();
    }

    @Override
    public void login(LoginRequest request, StreamObserver<LoginResponse> answer) {
        requests.add(request);
        answer.onNext(LoginResponse.getDefaultInstance());
        answer.onCompleted();
    }

    @Override
    public void reportAnswer(ReportAnswerRequest request, StreamObserver<ReportAnswerResponse> answer) {
        requests.add(request);
        if (!hangs) {
            answer.onNext(ReportAnswerResponse.getDefaultInstance());
            answer.onCompleted();
        }
    }

    @Override
    public void watchSession(WatchSessionRequest request, StreamObserver<WatchSessionResponse> answer) {
        watches.add(answer);
    }

    private boolean failed(StreamObserver<?> answer) {
        StatusAndDetails failure = failures.poll();
        if (failure != null) {
            var status = com.google.rpc.Status.newBuilder()
                    .setCode(failure.status().getCode().value())
                    .setMessage(String.valueOf(failure.status().getDescription()));
            List.of(failure.details()).forEach(detail -> status.addDetails(Any.pack(detail)));
            answer.onError(StatusProto.toStatusRuntimeException(status.build()));
        }
        return failure != null;
    }

    @Override
    public void close() {
        try {
            server.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private final class Recorder implements ServerInterceptor {
        @Override
        public <Q, A> ServerCall.Listener<Q> interceptCall(
                ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
            metadata.add(headers);
            return next.startCall(call, headers);
        }
    }
}
