package io.privyseal;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/** An HTTP/1.1 server on loopback that keeps what came over the wire, and answers with the bytes it was given. */
final class RawVenue implements AutoCloseable {
    static final String OK = answer("200 OK", "", "fine");

    /** In an answer: two seconds and a half in which nothing comes. */
    static final String PAUSE = "\0";

    /** At the end of an answer: the connection ends. */
    static final String CUT = "\1";

    final List<String> requests = new CopyOnWriteArrayList<>();
    final AtomicInteger connections = new AtomicInteger();
    final Queue<String> answers = new ConcurrentLinkedQueue<>();
    private final ServerSocket socket = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());

    RawVenue() throws IOException {
        Thread thread = new Thread(this::accept, "venue");
        thread.setDaemon(true);
        thread.start();
    }

    /** An answer; one that is empty closes the connection instead. */
    static String answer(String status, String headers, String body) {
        return "HTTP/1.1 " + status + "\r\n" + headers + "Content-Length: "
                + body.replace(PAUSE, "").length() + "\r\n\r\n" + body;
    }

    String url() {
        return "http://127.0.0.1:" + socket.getLocalPort();
    }

    private void accept() {
        try {
            while (true) {
                Socket connection = socket.accept();
                Thread thread = new Thread(() -> serve(connection), "venue-connection");
                thread.setDaemon(true);
                thread.start();
            }
        } catch (IOException e) {
            // Closed.
        }
    }

    private void serve(Socket connection) {
        connections.incrementAndGet();
        try (connection) {
            for (String request = read(connection.getInputStream());
                    request != null;
                    request = read(connection.getInputStream())) {
                requests.add(request);
                String answer = answers.isEmpty() ? OK : answers.poll();
                if (answer.isEmpty()) {
                    return;
                }
                send(connection.getOutputStream(), answer.replace(CUT, ""));
                if (answer.endsWith(CUT)) {
                    return;
                }
            }
        } catch (IOException e) {
            // The client went away.
        } finally {
            connections.decrementAndGet();
        }
    }

    private static void send(OutputStream out, String answer) throws IOException {
        String[] parts = answer.split(PAUSE);
        for (int i = 0; i < parts.length; i++) {
            if (i > 0) {
                LockSupport.parkNanos(2_500_000_000L);
            }
            out.write(parts[i].getBytes(StandardCharsets.ISO_8859_1));
        }
    }

    private static String read(InputStream in) throws IOException {
        ByteArrayOutputStream read = new ByteArrayOutputStream();
        String head = "";
        while (!head.endsWith("\r\n\r\n")) {
            int next = in.read();
            if (next < 0) {
                return null;
            }
            read.write(next);
            head = read.toString(StandardCharsets.ISO_8859_1);
        }
        String length = head.toLowerCase(Locale.ROOT).replaceFirst("(?s).*content-length: ([0-9]+).*", "$1");
        byte[] body = in.readNBytes(length.matches("[0-9]+") ? Integer.parseInt(length) : 0);
        return head + new String(body, StandardCharsets.ISO_8859_1);
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
